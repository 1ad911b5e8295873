"""A session against another, on a network of virtual time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from struct import pack, unpack_from
from typing import Any

import pytest

from call_service.carriers.g711 import over_the_wire, rms
from call_service.carriers.port import FRAME_BYTES, SILENCE_FRAME, KeysNotSentError
from call_service.carriers.rtp import Direction, KeysUnavailableError, SrtpKeys
from call_service.carriers.rtp.outbound import Outbound
from call_service.carriers.rtp.rtcp import parse_reports
from call_service.carriers.rtp.srtp import SrtpContext
from call_service.carriers.testing import LOUD_FRAME, LOUD_RMS, VirtualTime
from call_service.carriers.ticker import Ticker
from tests.support.rtp import HERE, THERE, Network, Party

G711: dict[str, Any] = {"codec": "PCMU", "payload_type": 0, "dtmf_payload_type": 101}
KEYS = SrtpKeys("AES_CM_128_HMAC_SHA1_80", b"1" * 30, b"2" * 30)
KEYS_THERE = SrtpKeys(KEYS.suite, KEYS.remote, KEYS.local)
SECOND = 1_000


@dataclass
class Call:
    """Two parties that know each other's address, not started."""

    time: VirtualTime
    network: Network
    ticker: Ticker
    here: Party
    there: Party

    def start(self, **options: Any) -> None:
        settings = {**G711, **options}
        self.here.session.start(self.there.address, **settings)
        self.there.session.start(self.here.address, **settings)

    def datagrams_from(self, party: Party) -> list[bytes]:
        return [packet for source, _, packet in self.network.carried if source == party.address]


def loud(frames: list[bytes]) -> list[bytes]:
    return [frame for frame in frames if rms(frame) > LOUD_RMS]


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    time = VirtualTime()
    network, ticker = Network(time), Ticker(time)
    timeout = timedelta(seconds=2)
    here, there = (Party(network, host, ticker, media_timeout=timeout) for host in (HERE, THERE))
    yield Call(time, network, ticker, here, there)
    for party in (here, there):
        await party.session.close()
    assert ticker.members == 0
    assert not network.sockets


@pytest.mark.parametrize("codec", ["PCMU", "PCMA"])
async def test_what_one_plays_the_other_hears(call: Call, codec: str) -> None:
    call.start(codec=codec, payload_type=96)
    call.here.session.play(LOUD_FRAME * 10)
    call.there.session.play(LOUD_FRAME * 5)
    await call.time.advance(SECOND)
    assert call.here.played[:10] == [LOUD_FRAME] * 10
    assert [len(frame) for frame in call.there.heard] == [FRAME_BYTES] * 50
    assert len(loud(call.there.heard)) == 10
    assert codec != "PCMU" or loud(call.there.heard) == [over_the_wire(LOUD_FRAME)] * 10
    assert len(loud(call.here.heard)) == 5


async def test_sends_a_packet_every_20_ms_in_one_unbroken_stream(call: Call) -> None:
    call.start()
    await call.time.advance(SECOND)
    headers = [unpack_from("!BBHII", packet) for packet in call.datagrams_from(call.here)]
    assert len(headers) == 50
    assert [kind for _, kind, *_ in headers] == [0x80] + [0] * 49
    first, ssrc = headers[0], headers[0][4]
    assert headers == [
        (0x80, kind, (first[2] + n) % 2**16, (first[3] + n * 160) % 2**32, ssrc)
        for n, (_, kind, *_) in enumerate(headers)
    ]


async def test_nothing_flows_before_the_start(call: Call) -> None:
    call.here.session.play(LOUD_FRAME)
    await call.time.advance(SECOND)
    assert (call.network.carried, call.here.heard, call.here.session.queued_ms) == ([], [], 20)


@pytest.mark.parametrize("waited_ms", [60, 200, 3 * SECOND])
async def test_what_came_before_the_start_is_no_delay_afterwards(call: Call, waited_ms: int) -> None:
    call.here.session.start(call.there.address, **G711)
    await call.time.advance(waited_ms)
    call.there.session.start(call.here.address, **G711)
    await call.time.advance(2 * SECOND)
    before = len(call.there.heard)
    call.here.session.play(LOUD_FRAME * 5)
    await call.time.advance(SECOND)
    first = next(number for number, frame in enumerate(call.there.heard[before:]) if rms(frame) > LOUD_RMS)
    assert first * 20 <= 100


async def test_marks_fire_in_order_when_played_or_cleared(call: Call) -> None:
    call.start()
    fired = []
    session = call.here.session
    session.play(LOUD_FRAME * 2)
    session.mark(lambda: fired.append("first"))
    session.play(LOUD_FRAME * 50)
    session.mark(lambda: fired.append("second"))
    assert session.queued_ms == 1_040
    await call.time.advance(40)
    assert fired == ["first"]
    assert session.clear() == SECOND
    assert fired == ["first", "second"]


async def test_hold_stops_sending_and_what_is_queued_waits(call: Call) -> None:
    call.start()
    call.here.session.set_direction("inactive")
    call.here.session.play(LOUD_FRAME * 3)
    call.there.session.play(LOUD_FRAME * 100)
    await call.time.advance(SECOND)
    assert call.datagrams_from(call.here) == []
    assert set(call.here.heard) | set(call.here.played) == {SILENCE_FRAME}
    assert call.here.session.queued_ms == 60
    call.here.session.set_direction("sendrecv")
    await call.time.advance(SECOND)
    assert call.here.played.count(LOUD_FRAME) == 3
    assert len(loud(call.here.heard)) > 40
    assert call.datagrams_from(call.here)[0][1] == 0x80


@pytest.mark.parametrize(
    ("direction", "sends", "hears"), [("sendonly", True, False), ("recvonly", False, True), ("sendrecv", True, True)]
)
async def test_each_direction(call: Call, direction: Direction, sends: bool, hears: bool) -> None:
    call.start()
    call.here.session.set_direction(direction)
    call.there.session.play(LOUD_FRAME * 100)
    await call.time.advance(SECOND)
    assert bool(call.datagrams_from(call.here)) is sends
    assert bool(loud(call.here.heard)) is hears


async def test_keys_go_over_and_audio_waits_for_them(call: Call) -> None:
    call.start()
    call.here.session.play(LOUD_FRAME * 20)
    pressing = asyncio.create_task(call.here.session.send_dtmf("42#"))
    await call.time.advance(SECOND)
    assert pressing.done()
    assert call.there.keys == "42#"
    assert call.here.played.count(LOUD_FRAME) == 20
    assert call.there.session.stats().lost == 0


async def test_keys_go_out_with_the_peers_number_and_come_in_with_it_or_with_the_one_we_offered(call: Call) -> None:
    """We offered 101 and the peer answered 96: it sends with 101, unless it is careless."""
    call.here.session.start(call.there.address, "PCMU", 0, 96, offered_dtmf_payload_type=101)
    for number in (101, 96):
        call.there.session.start(call.here.address, "PCMU", 0, number)
        pressing = asyncio.gather(call.here.session.send_dtmf("1"), call.there.session.send_dtmf("2"))
        await call.time.advance(SECOND)
        await asyncio.wait_for(pressing, 1)
    assert call.here.keys == "22"
    assert call.there.keys == "1"
    assert {packet[1] & 0x7F for packet in call.datagrams_from(call.here)} == {0, 96}


async def test_keys_without_telephone_events_are_an_error(call: Call) -> None:
    call.start(dtmf_payload_type=None)
    assert not call.here.session.can_send_dtmf
    with pytest.raises(KeysUnavailableError):
        await call.here.session.send_dtmf("1")


async def test_keys_are_refused_while_nothing_may_be_sent(call: Call) -> None:
    call.start()
    call.here.session.set_direction("recvonly")
    with pytest.raises(KeysNotSentError, match="call_on_hold"):
        await asyncio.wait_for(call.here.session.send_dtmf("1"), 1)
    call.here.session.set_direction("sendonly")
    pressing = asyncio.create_task(call.here.session.send_dtmf("1"))
    await call.time.advance(SECOND)
    await asyncio.wait_for(pressing, 1)
    assert call.there.keys == "1"


async def test_a_hold_ends_the_pressing_and_the_keys_that_are_left_are_not_pressed_after_it(call: Call) -> None:
    call.start()
    pressing = asyncio.create_task(call.here.session.send_dtmf("123", 200))
    await call.time.advance(100)
    call.here.session.set_direction("inactive")
    with pytest.raises(KeysNotSentError, match="call_on_hold"):
        await asyncio.wait_for(pressing, 1)
    call.here.session.set_direction("sendrecv")
    events_before = [packet for packet in call.datagrams_from(call.here) if packet[1] & 0x7F == 101]
    await call.time.advance(2 * SECOND)
    assert [packet for packet in call.datagrams_from(call.here) if packet[1] & 0x7F == 101] == events_before
    assert call.there.keys == "1"


async def test_whoever_waits_for_keys_is_released_by_the_end(call: Call) -> None:
    call.start()
    pressing = asyncio.create_task(call.here.session.send_dtmf("1" * 100))
    await call.time.advance(SECOND)
    await call.here.session.close()
    await asyncio.wait_for(pressing, 1)
    await call.here.session.send_dtmf("1")


async def test_media_that_stops_is_told_after_each_time_out(call: Call) -> None:
    call.start()
    await call.time.advance(SECOND)
    call.network.delays = lambda _packet: ()
    await call.time.advance(1_900)
    assert call.here.lost == 0
    await call.time.advance(200)
    assert call.here.lost == 1
    call.network.delays = lambda _packet: (1.0,)
    await call.time.advance(3 * SECOND)
    assert call.here.lost == 1
    call.network.delays = lambda _packet: ()
    await call.time.advance(4_100)
    assert call.here.lost == 3


async def test_media_that_never_came_is_lost_too(call: Call) -> None:
    call.here.session.start(call.there.address, "PCMU", 0, None)
    await call.time.advance(2_100)
    assert call.here.lost == 1


async def test_reports_alone_keep_a_call_alive(call: Call) -> None:
    """A peer with silence suppression sends no RTP for a while."""
    call.start()
    call.there.session.set_direction("inactive")
    for _ in range(5):
        await call.time.advance(1_500)
        call.network.deliver(pack("!BBHI", 0x80, 201, 1, 9), (THERE, 4_001), (HERE, 4_001))
    assert call.here.lost == 0
    await call.time.advance(2_500)
    assert call.here.lost == 1


async def test_on_hold_nothing_is_missed(call: Call) -> None:
    call.start()
    call.here.session.set_direction("sendonly")
    call.network.delays = lambda _packet: ()
    await call.time.advance(10 * SECOND)
    assert call.here.lost == 0


async def test_statistics_after_a_minute_of_a_bad_network(call: Call) -> None:
    random = Random(4)
    lost = [0]

    def delays(packet: bytes) -> tuple[float, ...]:
        if packet[1] & 0x7F == 0 and random.random() < 0.01:
            lost[0] += 1
            return ()
        return (50 + random.uniform(0, 20),)

    call.network.delays = delays
    call.start()
    await call.time.advance(60 * SECOND)
    here, there = call.here.session.stats(), call.there.session.stats()
    assert here.packets_sent == there.packets_sent == 3_000
    assert here.lost + there.lost == lost[0]
    assert here.remote_lost is not None
    assert 0 <= there.lost - here.remote_lost <= 6
    assert here.round_trip_ms == pytest.approx(120, abs=25)
    assert here.jitter_ms == pytest.approx(6.7, abs=3.5)
    assert here.remote_jitter_ms == pytest.approx(6.7, abs=3.5)
    assert here.late <= 3
    assert here.concealed_ms <= here.lost * 20 + 200


async def test_repeated_packets_are_no_delay_and_count_once(call: Call) -> None:
    call.network.delays = lambda _packet: (1.0, 95.0)
    call.start()
    call.here.session.play(LOUD_FRAME * 20)
    await call.time.advance(SECOND)
    stats = call.there.session.stats()
    assert (stats.packets_received, stats.late, stats.lost) == (49, 0, 0)
    assert stats.concealed_ms == 0
    assert loud(call.there.heard) == [over_the_wire(LOUD_FRAME)] * 20


async def test_reports_of_a_stranger_mean_nothing(call: Call) -> None:
    call.here.session.start(call.there.address, **G711)
    for _ in range(5):
        await call.time.advance(500)
        call.network.deliver(pack("!BBHI", 0x80, 201, 1, 9), ("203.0.113.9", 4_001), (HERE, 4_001))
    assert call.here.lost == 1
    await call.time.advance(10 * SECOND)
    assert {target for source, target, _ in call.network.carried if source == (HERE, 4_001)} == {(THERE, 4_001)}


async def test_a_stranger_is_counted_and_not_heard(call: Call) -> None:
    call.start()
    await call.time.advance(SECOND)
    for number in range(20):
        packet = pack("!BBHII", 0x80, 0, number, number * 160, 666) + b"\0" * 160
        call.network.deliver(packet, ("203.0.113.9", 9), call.here.address)
    await call.time.advance(SECOND)
    assert set(call.here.heard) == {SILENCE_FRAME}
    assert call.here.session.stats().refused == 20


async def test_media_goes_to_where_the_peer_really_is(call: Call) -> None:
    call.here.session.start(("10.0.0.5", 4_000), "PCMU", 0, None)
    call.there.session.start(call.here.address, "PCMU", 0, None)
    call.here.session.play(LOUD_FRAME * 50)
    await call.time.advance(SECOND)
    assert len(loud(call.there.heard)) > 40


async def test_srtp_both_ways(call: Call) -> None:
    call.here.session.start(call.there.address, srtp=KEYS, **G711)
    call.there.session.start(call.here.address, srtp=KEYS_THERE, **G711)
    call.here.session.play(LOUD_FRAME * 10)
    call.there.session.play(LOUD_FRAME * 10)
    await call.time.advance(SECOND)
    clear = pack("!BBHII", 0x80, 0, 1, 160, 5) + b"\0" * 160
    call.network.deliver(clear, call.there.address, call.here.address)
    await call.time.advance(20 * SECOND)
    for party in (call.here, call.there):
        assert len(loud(party.heard)) == 10
        assert party.session.stats().round_trip_ms is not None
    assert call.here.session.stats().refused == 1
    assert not any(parse_reports(packet) for _, (_, port), packet in call.network.carried if port % 2)


async def test_a_renegotiation_that_changes_nothing_breaks_nothing(call: Call) -> None:
    for _ in range(3):
        call.here.session.start(call.there.address, srtp=KEYS, **G711)
        call.there.session.start(call.here.address, srtp=KEYS_THERE, **G711)
        await call.time.advance(SECOND)
    assert call.here.session.stats().refused == 0
    assert call.here.session.stats().packets_received >= 148
    # What was heard before a renegotiation can't be played again after it.
    call.network.deliver(call.datagrams_from(call.there)[-60], call.there.address, call.here.address)
    await call.time.advance(20)
    assert call.here.session.stats().refused == 1


@pytest.mark.parametrize("is_clear_between", [False, True])
async def test_a_peer_that_changes_only_its_own_key_goes_on_to_understand_us(
    call: Call, is_clear_between: bool
) -> None:
    """Its contexts for what we send stay as they are: packets counted from zero again are replays to it."""
    peer = SrtpContext(KEYS_THERE)
    call.here.session.start(call.there.address, srtp=KEYS, **G711)
    await call.time.advance(20 * SECOND)
    if is_clear_between:
        call.here.session.start(call.there.address, **G711)
    changed = SrtpKeys(KEYS.suite, KEYS.local, remote=b"3" * 30)
    call.here.session.start(call.there.address, srtp=changed, **G711)
    call.there.session.start(call.here.address, srtp=SrtpKeys(KEYS.suite, b"3" * 30, b"1" * 30), **G711)
    call.there.session.play(LOUD_FRAME * 10)
    await call.time.advance(20 * SECOND)
    reports = [peer.open_rtcp(packet) for source, _, packet in call.network.carried if source == (HERE, 4_001)]
    assert len(reports) > 4
    assert None not in reports
    assert len(loud(call.here.heard)) == 10


async def test_a_stream_begins_far_from_the_wrap_of_its_sequence_numbers() -> None:
    """A peer that misses the first packets could not tell on which side of the wrap it is (RFC 3711, 3.3.1)."""
    assert max(unpack_from("!H", Outbound(Random(seed)).next(), 2)[0] for seed in range(200)) < 2**15


async def test_a_renegotiation_moves_media_to_another_peer_and_codec(call: Call) -> None:
    call.start()
    await call.time.advance(SECOND)
    third = Party(call.network, "192.0.2.3", call.ticker)
    third.session.start(call.here.address, "PCMA", 8, None)
    call.here.session.start(third.address, "PCMA", 8, None)
    third.session.play(LOUD_FRAME * 50)
    call.here.session.play(LOUD_FRAME * 10)
    before = len(call.here.heard)
    await call.time.advance(SECOND)
    assert len(loud(call.here.heard[before:])) > 40
    assert len(loud(third.heard)) == 10
    assert loud(call.there.heard) == []
    assert call.here.session.stats().lost == 0
    await third.session.close()


@pytest.mark.parametrize(("remote", "codec"), [(("example.org", 4_000), "PCMU"), ((THERE, 4_000), "G729")])
async def test_refuses_to_start_with_what_it_cannot_send(call: Call, remote: tuple[str, int], codec: str) -> None:
    with pytest.raises(ValueError, match=r"codec|address"):
        call.here.session.start(remote, codec, 0, None)
    assert call.ticker.members == 0


async def test_a_listener_that_fails_ends_only_its_own_media(call: Call) -> None:
    def fail(_frame: bytes) -> None:
        raise RuntimeError("a listener raised")

    call.here.session.on_audio(fail)
    call.start()
    await call.time.advance(100)
    assert (call.here.failed, call.there.failed, call.here.lost) == (1, 0, 0)
    assert call.ticker.members == 1


async def test_closing_says_bye_and_is_harmless_when_repeated(call: Call) -> None:
    call.start()
    await call.time.advance(SECOND)
    fired = []
    call.here.session.play(LOUD_FRAME * 50)
    call.here.session.mark(lambda: fired.append("queued"))
    await call.here.session.close()
    await call.here.session.close()
    source, target, packet = call.network.carried[-1]
    assert (source, target) == ((HERE, 4_001), (THERE, 4_001))
    assert packet[-8:-4] == b"\x81\xcb\0\1"
    assert call.here.closed == 1
    call.here.session.mark(lambda: fired.append("late"))
    call.here.session.play(LOUD_FRAME)
    call.start()
    assert (fired, call.here.session.queued_ms, call.ticker.members) == (["queued", "late"], 0, 1)


async def test_a_session_that_never_started_leaves_without_a_word(call: Call) -> None:
    await call.here.session.close()
    assert call.network.carried == []


async def test_reports_go_where_the_peer_sends_its_own_from(call: Call) -> None:
    call.start(remote_rtcp=("192.0.2.9", 77))
    call.network.deliver(pack("!BBHI", 0x80, 201, 1, 9), (THERE, 5_555), (HERE, 4_001))
    await call.time.advance(20 * SECOND)
    reported_to = {target for source, target, _ in call.network.carried if source == (HERE, 4_001)}
    assert reported_to == {(THERE, 5_555)}
