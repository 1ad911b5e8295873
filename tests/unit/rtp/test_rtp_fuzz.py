"""50 000 broken packets: nothing raises, nothing grows, and the call goes on."""

from collections.abc import Callable
from random import Random
from struct import pack

import pytest

from call_service.carriers.port import FRAME_BYTES
from call_service.carriers.rtp import SrtpKeys
from call_service.carriers.rtp.rtcp import (
    Report,
    ReportBlock,
    SenderInfo,
    build_bye,
    build_description,
    build_report,
)
from call_service.carriers.rtp.source import Address
from call_service.carriers.rtp.srtp import SrtpContext
from call_service.carriers.testing import LOUD_FRAME, VirtualTime
from call_service.carriers.ticker import Ticker
from tests.support.rtp import HERE, PORT, THERE, Network, Party

PACKETS = 50_000
A_TICK = 10  # as many as a session takes in, RTCP included
EVENTS = 101
KEYS = SrtpKeys("AES_CM_128_HMAC_SHA1_80", b"1" * 30, b"2" * 30)
SENDER: Address = (THERE, PORT)
CONTROL_SENDER: Address = (THERE, PORT + 1)

Build = Callable[[Random, int], bytes]


def audio(random: Random, number: int) -> bytes:
    return pack("!BBHII", 0x80, random.choice((0, 8)), number % 65_536, number * 160 % 2**32, 5) + bytes(160)


def key(random: Random, number: int) -> bytes:
    header = pack("!BBHII", 0x80, EVENTS, number % 65_536, number * 160 % 2**32, 5)
    return header + pack("!BBH", random.randrange(16), 0, 160)


def report(random: Random, number: int) -> bytes:
    sender = SenderInfo(random.getrandbits(64), number, number, number)
    blocks = [ReportBlock(*(random.getrandbits(8) for _ in range(7))) for _ in range(random.randrange(4))]
    return build_report(Report(5, sender, blocks)) + build_description(5, "peer") + build_bye(5)


def mutate(packet: bytes, random: Random) -> bytes:
    broken = bytearray(packet)
    for _ in range(random.randrange(1, 6)):
        match random.randrange(5):
            case 0:
                broken[random.randrange(min(len(broken), 16))] = random.getrandbits(8)
            case 1:
                broken[random.randrange(len(broken))] ^= 1 << random.randrange(8)
            case 2:
                del broken[random.randrange(1, len(broken) + 1) :]
            case 3:
                broken += random.randbytes(random.randrange(400))
            case _:
                at = random.randrange(len(broken))
                broken[at:at] = random.randbytes(random.randrange(8))
    return bytes(broken[:1_500])


@pytest.mark.parametrize("build", [audio, key, report])
@pytest.mark.parametrize("keys", [None, KEYS])
def test_survives(build: Build, keys: SrtpKeys | None) -> None:
    random = Random(f"{build.__name__} {keys is None}")
    time = VirtualTime()
    network = Network(time)
    party = Party(network, HERE, Ticker(time))
    party.session.start(SENDER, "PCMU", 0, EVENTS, srtp=keys)
    peer = SrtpContext(SrtpKeys(keys.suite, keys.remote, keys.local)) if keys else None
    is_control = build is report
    sender, target = (CONTROL_SENDER, (HERE, PORT + 1)) if is_control else (SENDER, (HERE, PORT))
    for number in range(PACKETS // 6):
        network.deliver(mutate(_protected(build(random, number), peer, is_control), random), sender, target)
        if number % A_TICK == 0:
            party.session.tick()
            assert party.session._inbound.jitter_buffer.depth <= 4_000
    for _ in range(5):
        party.session.tick()
    assert not network.sockets[target].inbox
    _is_still_a_call(party, network, peer)


def _protected(packet: bytes, peer: SrtpContext | None, is_control: bool) -> bytes:
    if peer is None:
        return packet
    return peer.protect_rtcp(packet) if is_control else peer.protect(packet)


def _is_still_a_call(party: Party, network: Network, peer: SrtpContext | None) -> None:
    assert {len(frame) for frame in party.heard} == {FRAME_BYTES}
    party.heard.clear()
    for number in range(100):
        packet = pack("!BBHII", 0x80, 0, 20_000 + number, 7_000_000 + number * 160, 77) + b"\x10" * 160
        network.deliver(_protected(packet, peer, is_control=False), SENDER, (HERE, PORT))
        party.session.play(LOUD_FRAME)
        party.session.tick()
    assert sum(any(frame) for frame in party.heard) > 80
    assert party.played.count(LOUD_FRAME) == 100
