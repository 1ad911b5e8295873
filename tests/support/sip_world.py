"""SIP user agents on a network of virtual time, and a scripted peer that says what a test tells it to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from random import Random

from call_service.carriers.port import Answered, LegEvent
from call_service.carriers.rtp import Direction, MediaStats, SrtpKeys
from call_service.carriers.sip.agent import UserAgent
from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.incoming import IncomingCall
from call_service.carriers.sip.leg import SipLeg
from call_service.carriers.sip.media import Negotiator
from call_service.carriers.sip.message import Headers, Message, Request, Response, respond
from call_service.carriers.sip.outgoing import CallPlan, OutgoingCall
from call_service.carriers.sip.parser import parse
from call_service.carriers.sip.refer import Referral
from call_service.carriers.sip.resolver import Resolver, Service, Target
from call_service.carriers.sip.server_transactions import InviteServer
from call_service.carriers.sip.timers import Timers
from call_service.carriers.sip.trunk import Trunk
from call_service.carriers.sip.udp import Receiver
from call_service.carriers.testing import VirtualTime
from call_service.signalling.ladder import Ladder

TRUNK = Trunk(name="trunk", host="sip.trunk.test")
CLIENT, SERVER, OTHER = (Address(f"192.0.2.{host}", 5060) for host in (1, 2, 3))
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n"
SDP += b"a=rtpmap:101 telephone-event/8000\r\n"


@dataclass(frozen=True)
class VirtualFlow:
    """From one address to another."""

    world: "World"
    local: Address
    peer: Address
    transport: str = "UDP"

    @property
    def is_open(self) -> bool:
        return self.peer not in self.world.closed

    def towards(self, peer: Address) -> Flow:
        return replace(self, peer=peer) if self.transport == "UDP" else self

    def send(self, data: bytes) -> None:
        self.world.carry(data, self)


class World:
    """Carries datagrams. `delays` tells for each message the milliseconds of its copies."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.receivers: dict[Address, Receiver] = {}
        self.closed: set[Address] = set()
        self.carried: list[Message] = []
        self.delays: Callable[[bytes], Sequence[float]] = lambda _data: (1.0,)
        self._numbers = count(1)

    def token(self) -> str:
        return f"t{next(self._numbers)}"

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time.time(), UTC)

    async def flow(self, target: Target, local: Address = CLIENT) -> Flow:
        return VirtualFlow(self, local, target.address, target.transport)

    def carry(self, data: bytes, flow: VirtualFlow) -> None:
        self.carried.append(parse(data))
        back = VirtualFlow(self, flow.peer, flow.local, flow.transport)
        for delay in self.delays(data):
            self.time.call_at(self.time.time() + delay / 1000, lambda: self._deliver(data, flow.peer, back))

    def _deliver(self, data: bytes, to: Address, back: VirtualFlow) -> None:
        if to in self.receivers:
            self.receivers[to].received(data, back)

    def sent(self, what: str) -> int:
        """How many messages with this method, or this status and CSeq method, were sent."""
        return sum(what in {_name(message), f"{_name(message)} {message.cseq_method}"} for message in self.carried)


def _name(message: Message) -> str:
    return message.method if isinstance(message, Request) else str(message.start_line.split()[1])


class NoNames:
    """A `Lookup` that knows nothing: tests use addresses."""

    async def services(self, name: str) -> list[Service]:
        return []

    async def addresses(self, host: str) -> list[str]:
        return []


class QuietMedia:
    """A media session that remembers what it was told."""

    local_port = 4_000
    queued_ms = 0
    can_send_dtmf = True

    def __init__(self) -> None:
        self.starts: list[tuple[tuple[str, int], str, SrtpKeys | None]] = []
        self.events: tuple[int | None, int | None] = (None, None)
        self.direction: Direction = "sendrecv"
        self.keys = ""
        self.is_closed = False
        self.lose: Callable[[], None] = lambda: None
        self.fail: Callable[[], None] = lambda: None
        self.press: Callable[[str], None] = lambda _digit: None

    def start(
        self,
        remote: tuple[str, int],
        codec: str,
        payload_type: int,
        dtmf_payload_type: int | None,
        *,
        offered_dtmf_payload_type: int | None = None,
        srtp: SrtpKeys | None = None,
    ) -> None:
        self.starts.append((remote, codec, srtp))
        self.events = (dtmf_payload_type, offered_dtmf_payload_type)

    def set_direction(self, direction: Direction) -> None:
        self.direction = direction

    def on_audio(self, listener: Callable[[bytes], None]) -> None: ...

    def on_played_frame(self, listener: Callable[[bytes], None]) -> None: ...

    def on_dtmf(self, listener: Callable[[str], None]) -> None:
        self.press = listener

    def on_lost(self, listener: Callable[[], None]) -> None:
        self.lose = listener

    def on_failed(self, listener: Callable[[], None]) -> None:
        self.fail = listener

    def watch_anew(self) -> None: ...

    def play(self, pcm: bytes) -> None: ...

    def clear(self) -> int:
        return 0

    def mark(self, on_played: Callable[[], None]) -> None: ...

    async def send_dtmf(self, digits: str, key_ms: int) -> None:
        self.keys += digits

    def stats(self) -> MediaStats:
        return MediaStats(0, 0, 0, 0, 0, 0.0, 0, None, None, None)

    async def close(self) -> None:
        self.is_closed = True


class Party:
    """A user agent that takes every call."""

    def __init__(self, world: World, address: Address) -> None:
        self.world = world
        self.address = address
        self.media = QuietMedia()
        self.invites: list[IncomingCall] = []
        self.ended = 0
        self.agent = UserAgent(
            Timers(world.time), Resolver(NoNames(), Random(1), world.time.time), world, world.token, Random(1)
        )
        self.agent.desk = self
        self.agent.network = self
        world.receivers[address] = self.agent

    async def flow(self, target: Target) -> Flow:
        return await self.world.flow(target, self.address)

    def is_known(self, flow: Flow) -> bool:
        return True

    def receive(self, request: Request, flow: Flow) -> None:
        transaction = self.agent.transactions.serve(request, flow)
        if isinstance(transaction, InviteServer):
            self.invites.append(IncomingCall(self.agent, transaction, ("trunk",), self.make_leg, lambda _call: None))
        elif transaction:
            transaction.respond(respond(request, 200, tag="options"))

    def make_leg(self, ladder: Ladder, *, ipv6: bool = False) -> SipLeg:
        negotiator = Negotiator(self.media, self.address.host, "off", 1)
        return SipLeg(self.agent, self.media, negotiator, TRUNK, ladder, on_end=self._count, follow=self.follow)

    def follow(self, leg: SipLeg, referral: Referral) -> bool:
        return False

    def dial(
        self, *peers: Address, transport: str = "UDP", ring_seconds: float = 60.0, headers: Headers = ()
    ) -> tuple[SipLeg, list[LegEvent]]:
        leg = self.make_leg(Ladder())
        targets = tuple(Target(transport, peer, TRUNK.host) for peer in peers or (SERVER,))
        uri = f"sip:+12025550100@{targets[0].address.host}"
        plan = CallPlan(self.world.token(), uri, "sip:us@192.0.2.1", targets, None, ring_seconds, headers)
        leg.pending = OutgoingCall(self.agent, plan, leg.negotiator, leg.ladder, leg)
        events: list[LegEvent] = []
        leg.on_event(events.append)
        return leg, events

    def _count(self, leg: SipLeg) -> None:
        self.ended += 1


class Script:
    """A peer without a mind: `heard` are the messages that came, `say` sends what the test wants, `react` answers."""

    def __init__(self, world: World, address: Address = SERVER) -> None:
        self.world = world
        self.address = address
        self.heard: list[Message] = []
        self.react: Callable[[Request], None] = lambda _request: None
        self._back: Flow | None = None
        world.receivers[address] = self

    def received(self, data: bytes, flow: Flow) -> None:
        message = parse(data)
        self.heard.append(message)
        self._back = flow
        if isinstance(message, Request):
            self.react(message)

    def lost(self, flow: Flow) -> None:
        raise AssertionError("nothing closes here")

    def needs(self, flow: Flow) -> bool:
        raise AssertionError("nothing is idle here")

    def request(self, method: str, which: int = -1) -> Request:
        """One of the requests with this method."""
        return [one for one in self.heard if isinstance(one, Request) and one.method == method][which]

    def methods(self) -> list[str]:
        return [one.method for one in self.heard if isinstance(one, Request)]

    def statuses(self) -> list[int]:
        return [one.status for one in self.heard if isinstance(one, Response)]

    def say(self, message: Message) -> None:
        assert self._back
        self._back.send(message.encode())

    def respond(
        self, request: Request, status: int, tag: str = "peer", *, headers: Headers = (), body: bytes = b""
    ) -> None:
        contact = ("Contact", f"<sip:peer@{self.address.host}>")
        kind: Headers = (("Content-Type", "application/sdp"),) if body else ()
        self.say(respond(request, status, tag=tag, headers=(contact, *headers, *kind), body=body))

    def ask(self, method: str, invite: Request, cseq: int, *, headers: Headers = (), body: bytes = b"") -> None:
        """A request within the dialog of the `invite` that was answered with the tag `peer`."""
        own = (
            ("Via", f"SIP/2.0/UDP {self.address.host};branch=z9hG4bK{self.world.token()}"),
            ("From", str(invite.to.tagged("peer"))),
            ("To", str(invite.from_)),
            ("Call-ID", invite.call_id),
            ("CSeq", f"{cseq} {method}"),
            ("Contact", f"<sip:peer@{self.address.host}>"),
        )
        assert invite.contact
        self.say(Request(method, invite.contact.uri, (*own, *headers), body))


async def placed(world: World, us: Party, transport: str = "UDP") -> tuple[Script, Request, SipLeg, list[LegEvent]]:
    """A call of ours that the peer has answered."""
    peer = Script(world)
    leg, events = us.dial(transport=transport)
    await world.time.advance(10)
    invite = peer.request("INVITE")
    peer.respond(invite, 200, body=SDP)
    await world.time.advance(10)
    assert events == [Answered()]
    return peer, invite, leg, events


async def taken(world: World, us: Party, transport: str = "UDP") -> tuple[Script, SipLeg]:
    """A call that we have answered, of a caller who hides her number."""
    peer = Script(world)
    own: Headers = (
        ("Via", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKx"),
        ("From", '"Anonymous" <sip:anonymous@anonymous.invalid>;tag=peer'),
        ("To", "<sip:+12025558888@192.0.2.1>"),
        ("Call-ID", "x"),
        ("CSeq", "1 INVITE"),
        ("Contact", "<sip:peer@192.0.2.2>"),
    )
    invite = Request("INVITE", "sip:+12025558888@192.0.2.1", own, SDP)
    VirtualFlow(world, SERVER, CLIENT, transport).send(invite.encode())
    await world.time.advance(10)
    leg = us.invites[0].answer()
    await world.time.advance(10)
    answer = next(one for one in peer.heard if isinstance(one, Response) and one.is_success)
    ack = Request("ACK", "sip:talkstack@192.0.2.1", (*own[:2], ("To", str(answer.to)), own[3], ("CSeq", "1 ACK")))
    peer.say(ack)
    await world.time.advance(10)
    return peer, leg
