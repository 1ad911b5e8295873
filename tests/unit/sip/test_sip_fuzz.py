"""Fifty thousand broken messages: nothing is raised, nothing is left."""

import gc
import time
from collections.abc import Sequence
from random import Random

import structlog

from call_service.carriers.port import Answered, CallGoneError, CallRefusedError
from call_service.carriers.sip.arrival import Arrival
from call_service.carriers.sip.digest import Challenger
from call_service.carriers.sip.flow import Address
from call_service.carriers.sip.front_desk import FrontDesk
from call_service.carriers.sip.incoming import IncomingCall
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.line import TrunkLine
from call_service.carriers.sip.message import Headers, Message
from call_service.carriers.sip.parser import StreamParser
from call_service.carriers.sip.roster import Roster
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.syntax import SipSyntaxError
from call_service.carriers.sip.trunk import Trunk
from tests.support.sip_world import CLIENT, SDP, SERVER, Party, Script, VirtualFlow, World

MESSAGES = 50_000
BATCH = 500
STRANGER = Address("198.51.100.7", 5060)
TOKENS = [
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b":",
    b";",
    b",",
    b'"',
    b"<",
    b">",
    b"=",
    b"@",
    b"sip:",
    b"SIP/2.0 ",
    b"-1",
    b"9" * 40,
]
TOKENS += [b"Content-Length: 99999\r\n", b"Via: SIP/2.0/UDP x;branch=z9hG4bK1\r\n", b"%00", b" " * 300, b"a" * 3_000]


class Desk(FrontDesk):
    """The real front desk of `us`, with trunks for the peer by address and for strangers by digest."""

    def __init__(self, us: Party, random: Random) -> None:
        fields = {"host": SERVER.host, "max_calls": 20, "pings_every": None}
        known = Trunk.model_validate({"name": "a", "source_networks": ["192.0.2.0/24"], **fields})
        digest = Trunk.model_validate({"name": "b", "inbound": "digest", "username": "peer", "password": "x", **fields})
        self.lines = [TrunkLine(us.agent, known), TrunkLine(us.agent, digest)]
        roster = Roster()
        for line in self.lines:
            roster.add(line)
        self.legs: list[SipLeg] = []
        self._us = us
        self._random = random
        super().__init__(us.agent, Challenger("test", b"secret", time.time), roster, self._take)

    def _take(self, lines: Sequence[TrunkLine], transaction: InviteServer) -> None:
        arrival = Arrival(lines, transaction.flow, self)
        call = IncomingCall(
            self._us.agent,
            transaction,
            arrival.trunks,
            self._us.make_leg,
            lambda _call: arrival.leave(),
            admit=arrival.choose,
        )
        if self._random.random() < 0.3:
            return
        try:
            call.belongs_to(self._random.choice(call.trunks))
            self.legs.append(call.answer())
        except (CallGoneError, CallRefusedError):
            return


def twist(seed: bytes, others: list[bytes], random: Random) -> bytes:
    """One header with another value, so that most of what comes out is still SIP."""
    lines = seed.split(b"\r\n")
    at = random.randrange(len(lines))
    name, colon, value = lines[at].partition(b": ")
    foreign = random.choice(random.choice(others).split(b"\r\n"))
    values = [random.choice(TOKENS), value + random.choice(TOKENS), value[: random.randrange(len(value) + 1)]]
    values.append(foreign.partition(b": ")[2])
    lines[at] = foreign if random.random() < 0.2 else name + colon + random.choice(values)
    return b"\r\n".join(lines)


def mutate(seed: bytes, others: list[bytes], random: Random) -> bytes:
    """One to four changes of a message."""
    data = bytearray(seed)
    for _ in range(random.randint(1, 4)):
        at, until = sorted(random.randrange(len(data) + 1) for _ in range(2))
        match random.randrange(7):
            case 0 if data:
                data[min(at, len(data) - 1)] ^= 1 << random.randrange(8)
            case 1:
                del data[at : min(until, at + 80)]
            case 2:
                data[at:at] = random.choice(TOKENS)
            case 3:
                data[at:until] = data[at:until] * 2 if until - at < 2_000 else b""
            case 4:
                other = random.choice(others)
                data[at:] = other[random.randrange(len(other)) :]
            case 5:
                lines = bytes(data).split(b"\r\n")
                random.shuffle(lines)
                data = bytearray(b"\r\n".join(lines))
            case _:
                del data[at:]
    return bytes(data)


async def _live_call(world: World, us: Party) -> tuple[SipLeg, list[bytes]]:
    """A call that goes on during the attack, and every kind of message there is about it."""
    peer = Script(world)
    leg, events = us.dial()
    await world.time.advance(10)
    invite = peer.request("INVITE")
    peer.respond(invite, 180)
    peer.respond(invite, 200, body=SDP)
    await world.time.advance(10)
    assert events == [Answered()] or events[-1] == Answered()
    headers: Headers = (("Session-Expires", "1800;refresher=uac"), ("Supported", "timer"), ("Event", "refer"))
    headers = (*headers, ("Refer-To", "<sip:third@192.0.2.9?Replaces=a>"), ("Content-Type", "application/dtmf-relay"))
    for number, method in enumerate(("INVITE", "UPDATE", "INFO", "REFER", "NOTIFY", "OPTIONS", "PRACK"), 1_000):
        peer.ask(method, invite, number, headers=headers, body=SDP if number < 1_002 else b"Signal=1")
    peer.ask("ACK", invite, 1_000)
    await world.time.advance(10)
    seeds: list[Message] = [*world.carried]
    texts = [message.encode() for message in seeds]
    outside = invite.encode().replace(b"sip:us", b"sip:peer").replace(invite.call_id.encode(), b"FRESH")
    outside = outside.replace(invite.via.branch.encode(), b"z9hG4bKFRESH")
    texts += [outside.replace(b"INVITE", method) for method in (b"INVITE", b"OPTIONS", b"REGISTER", b"CANCEL", b"BYE")]
    digest = b'Authorization: Digest username="peer", realm="test", nonce="1.2", uri="x", response="y", nc=1, qop=auth'
    return leg, [*texts, outside.replace(b"CSeq", digest + b"\r\nCSeq")]


async def test_fifty_thousand_broken_messages() -> None:
    random = Random(5)
    world = World()
    us = Party(world, CLIENT)
    desk = us.agent.desk = Desk(us, random)
    leg, seeds = await _live_call(world, us)
    with structlog.testing.capture_logs() as logs:
        for number in range(MESSAGES):
            peer = STRANGER if random.random() < 0.2 else SERVER
            change = random.choice((mutate, twist))
            broken = change(random.choice(seeds), seeds, random).replace(b"FRESH", b"%d" % number)
            us.agent.received(broken, VirtualFlow(world, CLIENT, peer))
            if number % BATCH == 0:
                world.carried.clear()
                await world.time.advance(2_000)
                for one in desk.legs:
                    await one.hang_up()
    assert not [entry for entry in logs if entry["event"] in {"sip.message_failed", "sip.task_failed"}]
    assert MESSAGES / 4 < us.agent.malformed < MESSAGES * 3 / 4
    assert len(desk.legs) > 100
    assert desk.ignored > 100
    for one in (leg, *desk.legs):
        await one.hang_up()
    await world.time.advance(400_000)
    assert (us.agent.dialogs, len(us.agent.transactions), len(us.agent._tasks)) == (0, 0, 0)
    assert not us.agent._ladders
    assert {line.calls for line in desk.lines} == {0}


def test_a_broken_stream_is_given_up_and_never_grows() -> None:
    random = Random(7)
    good = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 5\r\n\r\nhello"
    for _ in range(2_000):
        parser = StreamParser()
        try:
            for _ in range(20):
                parser.feed(mutate(good, [good], random))
        except SipSyntaxError:
            pass
        assert len(parser._buffer) < 200_000
    gc.collect()
