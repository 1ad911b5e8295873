"""Two engines over real sockets: the audio that goes in comes out."""

import asyncio
import socket
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import psutil
import pytest

from call_service.carriers.rtp import PortsExhaustedError, RtpEngine, RtpSession, SrtpKeys
from call_service.carriers.ticker import Ticker
from tests.support.rtp import SWEEP_SECONDS, likeness, sweep

EVENTS = 101
KEYS = SrtpKeys("AES_CM_128_HMAC_SHA1_32", bytes(range(30)), bytes(range(30, 60)))
UP, DOWN = sweep(200, 3_000), sweep(3_000, 250)
LOOPBACK = "127.0.0.1"

MakeEngine = Callable[..., RtpEngine]


class End:
    """One end of a call, with a clock of its own, and what it heard."""

    def __init__(self, make_engine: MakeEngine, *, ticker: Ticker | None = None, address: str = LOOPBACK) -> None:
        self.ticker = ticker or Ticker()
        self.session = make_engine(self.ticker, address).allocate()
        self.heard = bytearray()
        self.keys: list[str] = []
        self.session.on_audio(self.heard.extend)
        self.session.on_dtmf(self.keys.append)

    def start(self, port: int, *, host: str = LOOPBACK, codec: str = "PCMU", srtp: SrtpKeys | None = None) -> None:
        self.session.start((host, port), codec, {"PCMU": 0, "PCMA": 8}[codec], EVENTS, srtp=srtp)


async def sweeps_both_ways(one: End, other: End) -> float:
    """Play a sweep each way at the same time; the likeness of the worse.

    A machine that stops both clocks for longer than the delay of a call spoils a measurement, not a call: it is
    repeated when that was seen, twice at the most.
    """
    for _ in range(3):
        one.heard.clear()
        other.heard.clear()
        late = one.ticker.late_ticks + other.ticker.late_ticks
        one.session.play(UP)
        other.session.play(DOWN)
        await asyncio.sleep(SWEEP_SECONDS + 0.5)
        worse = min(likeness(bytes(other.heard), UP), likeness(bytes(one.heard), DOWN))
        if worse > 0.99 or one.ticker.late_ticks + other.ticker.late_ticks == late:
            break
    return worse


def connected(make_engine: MakeEngine, *, ticker: Ticker | None = None) -> tuple[End, End]:
    one, other = End(make_engine, ticker=ticker), End(make_engine)
    one.start(other.session.local_port)
    other.start(one.session.local_port)
    return one, other


async def test_a_sweep_each_way_at_the_same_time(make_engine: MakeEngine) -> None:
    one, other = connected(make_engine)
    assert await sweeps_both_ways(one, other) > 0.99
    for stats in (one.session.stats(), other.session.stats()):
        assert (stats.lost, stats.refused) == (0, 0)
        assert stats.round_trip_ms is not None
        assert stats.round_trip_ms < 200


async def test_a_sweep_each_way_encrypted(make_engine: MakeEngine) -> None:
    one, other = End(make_engine), End(make_engine)
    one.start(other.session.local_port, codec="PCMA", srtp=KEYS)
    mirrored = SrtpKeys(KEYS.suite, local=KEYS.remote, remote=KEYS.local)
    other.start(one.session.local_port, codec="PCMA", srtp=mirrored)
    assert await sweeps_both_ways(one, other) > 0.99
    for stats in (one.session.stats(), other.session.stats()):
        assert (stats.lost, stats.refused) == (0, 0)
        assert stats.round_trip_ms is not None


async def test_clocks_that_drift_apart(make_engine: MakeEngine) -> None:
    one, other = connected(make_engine, ticker=Ticker(period=timedelta(milliseconds=20.004)))  # 200 ppm
    assert await sweeps_both_ways(one, other) > 0.99
    assert (one.session.stats().lost, other.session.stats().lost) == (0, 0)


class LossyRelay(asyncio.DatagramProtocol):
    """Passes datagrams between two ports and loses some."""

    def __init__(self, one: int, other: int, loss: float) -> None:
        self.lost = 0
        self._way = {one: (LOOPBACK, other), other: (LOOPBACK, one)}
        self._loss = loss
        self._random = Random(3)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        if self._random.random() < self._loss:
            self.lost += 1
        else:
            self.transport.sendto(data, self._way[address[1]])


async def test_a_network_that_loses_one_packet_in_a_hundred(make_engine: MakeEngine) -> None:
    one, other = End(make_engine), End(make_engine)
    ports = one.session.local_port, other.session.local_port
    transport, relay = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: LossyRelay(*ports, 0.01), local_addr=(LOOPBACK, 0)
    )
    relayed = transport.get_extra_info("sockname")[1]
    one.start(relayed)
    other.start(relayed)
    # Of a sweep that misses a hundredth, no more than that may differ.
    assert await sweeps_both_ways(one, other) > 0.97
    transport.close()
    here, there = one.session.stats(), other.session.stats()
    assert relay.lost > 0
    assert here.lost + there.lost == relay.lost
    assert here.concealed_ms + there.concealed_ms >= 20 * relay.lost


async def test_a_second_source_is_not_heard(make_engine: MakeEngine) -> None:
    one, other = connected(make_engine)
    await asyncio.sleep(0.2)
    stranger = End(make_engine)
    stranger.start(other.session.local_port)
    stranger.session.play(DOWN)
    assert await sweeps_both_ways(one, other) > 0.99
    assert other.session.stats().refused > 400
    assert not any(stranger.heard)


async def test_keys_both_ways(make_engine: MakeEngine) -> None:
    one, other = connected(make_engine)
    await asyncio.gather(one.session.send_dtmf("0123456789*#"), other.session.send_dtmf("ABCD"))
    assert "".join(other.keys) == "0123456789*#"
    assert "".join(one.keys) == "ABCD"


async def test_ipv6(make_engine: MakeEngine) -> None:
    one, other = End(make_engine, address="::1"), End(make_engine, address="::1")
    one.start(other.session.local_port, host="0:0:0:0:0:0:0:1")
    other.start(one.session.local_port, host="::1")
    await one.session.send_dtmf("6")
    assert other.keys == ["6"]
    assert other.session.stats().refused == 0


def descriptors() -> int:
    return psutil.Process().num_fds()


async def test_ports_are_bounded_even_and_come_back(make_engine: MakeEngine) -> None:
    before = descriptors()
    engine = make_engine(ports=range(18_501, 18_508))
    sessions = [engine.allocate() for _ in range(3)]
    assert [session.local_port for session in sessions] == [18_502, 18_504, 18_506]
    with pytest.raises(PortsExhaustedError):
        engine.allocate()
    await sessions[1].close()
    await sessions[0].close()
    assert [engine.allocate().local_port for _ in range(2)] == [18_504, 18_502]
    await engine.close()
    assert engine.free_ports == 3
    assert descriptors() == before


async def test_a_port_that_another_program_holds_is_passed_over(make_engine: MakeEngine) -> None:
    before = descriptors()
    engine = make_engine(ports=range(18_510, 18_514))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other_program:
        other_program.bind((LOOPBACK, 18_511))
        assert engine.allocate().local_port == 18_512
        with pytest.raises(PortsExhaustedError):
            engine.allocate()
    await engine.close()
    assert descriptors() == before


async def test_an_address_of_another_machine_is_an_error(make_engine: MakeEngine) -> None:
    before = descriptors()
    engine = make_engine(address="192.0.2.1")
    with pytest.raises(OSError, match="assign"):
        engine.allocate()
    assert engine.free_ports == 200
    assert descriptors() == before


async def test_a_thousand_calls_leave_nothing(make_engine: MakeEngine) -> None:
    engine = make_engine()
    before = descriptors()
    for _ in range(100):
        sessions: list[RtpSession] = [engine.allocate() for _ in range(10)]
        for session in sessions:
            session.start((LOOPBACK, 9), "PCMU", 0, None, srtp=KEYS)
        await asyncio.gather(*(session.close() for session in sessions))
    assert descriptors() == before
    assert engine.free_ports == 200
