"""RTP both ways for 100, 200 and 400 calls on loopback, with jitter buffer, RTCP and both recording taps.

`python tests/bench/bench_rtp.py` prints the CPU time a call takes of one core, lost packets, the 99th percentile of the
gap between packets as the kernel stamped their arrival, and the memory. The peer of the calls is a process of its own.
"""

import asyncio
import json
import select
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

from call_service.carriers.rtp import RtpEngine, RtpSession
from call_service.carriers.rtp.reception import Reception
from call_service.carriers.rtp.sockets import PortPool, UdpSocket
from call_service.carriers.testing import LOUD_FRAME
from call_service.carriers.ticker import Ticker

LOADS = (100, 200, 400)
SECONDS = 20
WARM_UP_SECONDS = 2
PACKET_SECONDS = 0.02
LOOPBACK = "127.0.0.1"
PORTS = range(24_000, 25_000)
PEER_PORTS = range(26_000, 27_000)
HEADER = Struct("!BBHII")
PAYLOAD = bytes(range(160))


async def serve(peers: list[int]) -> None:
    """Hold a call with each peer port; prints the own ports, then at each line of input what was measured."""
    ticker = Ticker()
    engine = RtpEngine(PORTS, LOOPBACK, LOOPBACK, ticker)
    sessions = [answer(engine, peer) for peer in peers]
    print(json.dumps([session.local_port for session in sessions]), flush=True)
    loop = asyncio.get_running_loop()
    for _ in range(2):
        await loop.run_in_executor(None, sys.stdin.readline)
        print(json.dumps(measured(sessions, ticker)), flush=True)
    await engine.close()


def answer(engine: RtpEngine, peer: int) -> RtpSession:
    session = engine.allocate()
    heard, played = bytearray(), bytearray()
    session.on_audio(heard.extend)
    session.on_played_frame(played.extend)
    session.play(LOUD_FRAME * (50 * (SECONDS + 2 * WARM_UP_SECONDS)))
    session.start((LOOPBACK, peer), "PCMU", 0, 101)
    return session


def measured(sessions: list[RtpSession], ticker: Ticker) -> dict[str, float]:
    process = psutil.Process()
    times = process.cpu_times()
    stats = [session.stats() for session in sessions]
    return {
        "cpu": times.user + times.system,
        "rss": process.memory_info().rss,
        "lost": sum(each.lost for each in stats),
        "late": sum(each.late for each in stats),
        "sent": sum(each.packets_sent for each in stats),
        "concealed_ms": sum(each.concealed_ms for each in stats),
        "skipped": ticker.skipped_ticks,
    }


@dataclass
class Peer:
    """The other end of one call: sends, and notes when packets come and which are missing."""

    port: int
    socket: UdpSocket
    control: UdpSocket
    target: tuple[str, int] = (LOOPBACK, 0)
    last_arrival: float = 0.0
    reception: Reception = field(default_factory=Reception)

    def send(self, number: int) -> None:
        self.socket.send(HEADER.pack(0x80, 0, number % 65_536, number * 160 % 2**32, self.port) + PAYLOAD, self.target)

    def receive(self, gaps: list[float]) -> None:
        while (datagram := self.socket.receive()) is not None:
            data, _, arrival = datagram
            if self.reception.received:
                gaps.append(arrival - self.last_arrival)
            self.reception.count(HEADER.unpack_from(data)[2])
            self.last_arrival = arrival


def talk(peers: list[Peer], first: int, seconds: float) -> list[float]:
    """Send to every call each 20 ms; the gaps between what came back, in seconds."""
    gaps: list[float] = []
    began = time.perf_counter()
    for number in range(int(seconds / PACKET_SECONDS)):
        for peer in peers:
            peer.send(first + number)
            peer.receive(gaps)
        select.select([], [], [], max(0.0, began + (number + 1) * PACKET_SECONDS - time.perf_counter()))
    return gaps


def measure(count: int) -> tuple[str, ...]:
    """One row of the table."""
    pool = PortPool(LOOPBACK, PEER_PORTS)
    peers = [Peer(*pool.bind()) for _ in range(count)]
    command = [sys.executable, __file__, "serve", json.dumps([peer.port for peer in peers])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask() -> dict[str, Any]:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return dict(json.loads(process.stdout.readline()))

        for peer, port in zip(peers, json.loads(process.stdout.readline()), strict=True):
            peer.target = (LOOPBACK, port)
        warm_up = int(WARM_UP_SECONDS / PACKET_SECONDS)
        talk(peers, 0, WARM_UP_SECONDS)
        before = ask()
        gaps = talk(peers, warm_up, SECONDS)
        after = ask()
    for peer in peers:
        peer.socket.close()
        peer.control.close()
    core = (after["cpu"] - before["cpu"]) / SECONDS
    return (
        str(count),
        f"{core:.1%}",
        f"{core / count:.3%}",
        f"{after['lost']:.0f} / {sum(peer.reception.lost for peer in peers)}",
        f"{after['late']:.0f}",
        f"{statistics.quantiles(gaps, n=100)[98] * 1000:.1f}",
        f"{after['skipped']:.0f}",
        f"{after['rss'] / 2**20:.0f}",
    )


def main() -> None:
    """Measure every load and print the table."""
    columns = (
        "calls",
        "of a core",
        "of a core a call",
        "lost in / out",
        "late",
        "p99 gap ms",
        "ticks skipped",
        "RSS MiB",
    )
    table = Table(*columns, title=f"RTP both ways, {SECONDS} s")
    for count in LOADS:
        table.add_row(*measure(count))
    Console().print(table)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(json.loads(sys.argv[2])))
    else:
        main()
