"""Calls with audio both ways: what they cost, what is lost, how evenly packets come; ours beside what others have made.

`make bench ARGS=rtp`, or `python -m tests.bench.bench_rtp` for this alone. Ours runs with jitter buffer, RTCP and both
recording taps. The calls are set up by SIP; their other end sends and receives RTP in this process, and takes the gaps
between packets from the times at which the kernel stamped them.
"""

import asyncio
import select
import statistics
import time
from dataclasses import dataclass, field
from struct import Struct

from rich.console import Console

from call_service.carriers.rtp.reception import Reception
from call_service.carriers.rtp.sockets import PortPool, UdpSocket
from tests.bench.other_end import LOOPBACK, Call, OtherEnd, answers
from tests.bench.phones import OURS, Phone, missing, phones, running
from tests.bench.sections import Cell, Section, at_most, load_average

LOADS = (100, 200, 400)
SECONDS = 15
WARM_UP_SECONDS = 3
PACKET_SECONDS = 0.02
SET_UP_SECONDS = 15.0
MOST_CORE_PERCENT, MOST_GAP_MS = 0.25, 30
PORTS = range(26_000, 27_000)
HEADER = Struct("!BBHII")
PAYLOAD = bytes(range(160))


@dataclass
class Peer:
    """The other end of one call's audio: sends, and notes when packets come and which are missing."""

    port: int
    socket: UdpSocket
    control: UdpSocket
    target: tuple[str, int] = (LOOPBACK, 0)
    last_arrival: float = 0.0
    reception: Reception = field(default_factory=Reception)

    def send(self, number: int) -> None:
        """A packet of 20 ms."""
        self.socket.send(HEADER.pack(0x80, 0, number % 65_536, number * 160 % 2**32, self.port) + PAYLOAD, self.target)

    def receive(self, gaps: list[float]) -> None:
        """Take what came; silence between words has gaps of its own, which are the marker bit's."""
        while (datagram := self.socket.receive()) is not None:
            data, _, arrival = datagram
            _, kind, sequence, _, _ = HEADER.unpack_from(data)
            if self.reception.received and not kind & 0x80:
                gaps.append(arrival - self.last_arrival)
            self.reception.count(sequence)
            self.last_arrival = arrival

    def close(self) -> None:
        """Free both ports."""
        self.socket.close()
        self.control.close()


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


@dataclass(frozen=True)
class Result:
    """What `calls` of a telephone came to; `lost` is on the way to it, None where it can't tell."""

    phone: Phone
    calls: int
    core: float
    lost: int | None
    lost_back: int
    gap_ms: float
    rss_mb: float
    skipped: int | None

    @property
    def core_percent_a_call(self) -> float:
        """Of one core."""
        return self.core * 100 / self.calls

    def row(self) -> list[Cell]:
        """Of the table."""
        a_call = self.core_percent_a_call
        ours = self.phone is OURS
        lost = f"{'?' if self.lost is None else self.lost} / {self.lost_back}"
        core_bar, loss_bar, gap_bar = (
            (
                at_most(a_call, MOST_CORE_PERCENT),
                at_most((self.lost or 0) + self.lost_back, 0),
                at_most(self.gap_ms, 30),
            )
            if ours
            else ("", "", "")
        )
        name = f"{self.calls}: {self.phone.name}"
        share = f"{self.core:.1%}"
        cells = [name, share, f"{a_call:.3f} %", core_bar, lost, loss_bar, self.gap_ms, gap_bar]
        return [*cells, self.rss_mb, self.skipped]


async def measure(phone: Phone, count: int) -> Result:
    """Set up `count` calls, let them talk, hang up."""
    other = OtherEnd()
    await other.open()
    pool = PortPool(LOOPBACK, PORTS)
    peers = [Peer(*pool.bind()) for _ in range(count)]
    try:
        async with running(phone, "talk", other.port) as telephone:
            calls = await _set_up(other, telephone.port, peers, min(phone.calls_per_second, 50))
            await asyncio.to_thread(talk, peers, 0, WARM_UP_SECONDS)
            for peer in peers:
                peer.reception = Reception()
            before = await telephone.ask()
            cpu = telephone.cpu_seconds()
            gaps = await asyncio.to_thread(talk, peers, int(WARM_UP_SECONDS / PACKET_SECONDS), SECONDS)
            cpu = telephone.cpu_seconds() - cpu
            after, rss = await telephone.ask(), telephone.rss_mb()
            for call in calls:
                other.hang_up(call, telephone.port)
    finally:
        other.close()
        for peer in peers:
            peer.close()
    return Result(
        phone,
        count,
        cpu / SECONDS,
        after["lost"] - before["lost"] if "lost" in after else None,
        sum(peer.reception.lost for peer in peers),
        statistics.quantiles(gaps, n=100)[98] * 1000,
        rss,
        after.get("skipped"),
    )


async def _set_up(other: OtherEnd, port: int, peers: list[Peer], per_second: int) -> list[Call]:
    """Raises RuntimeError when a call isn't answered."""
    calls = []
    for peer in peers:
        calls.append(other.call(port, peer.port))
        await asyncio.sleep(1 / per_second)
    if len(await answers(calls, SET_UP_SECONDS)) < len(calls):
        raise RuntimeError(f"only {sum(call.audio_port > 0 for call in calls)} of {len(calls)} calls were answered")
    for call, peer in zip(calls, peers, strict=True):
        peer.target = (LOOPBACK, call.audio_port)
    return calls


async def rtp(_rig: object = None) -> list[Section]:
    """About 30 s a row: CPU, loss, gaps and memory of 100, 200 and 400 calls with audio both ways."""
    before = load_average()
    loads = [(phone, count) for phone in phones() for count in LOADS if count <= phone.most_calls]
    results = [await measure(phone, count) for phone, count in loads]
    columns = ("calls", "of a core", "a call", "bar", "lost in / out", "bar", "p99 gap ms", "bar", "RSS MB", "skipped")
    title = f"RTP both ways, {SECONDS} s"
    rows = [result.row() for result in results]
    return [Section(title, columns, rows, before, [*_ratios(results), *missing()])]


def _ratios(results: list[Result]) -> list[str]:
    ours = {result.calls: result.core_percent_a_call for result in results if result.phone is OURS}
    return [
        f"CPU a call at {result.calls}, {result.phone.name} by ours: "
        f"{result.core_percent_a_call / ours[result.calls]:.1f} x."
        for result in results
        if result.phone is not OURS and ours.get(result.calls)
    ]


def main() -> None:
    """Measure and print."""
    console = Console(width=140)
    for section in asyncio.run(rtp()):
        console.print(section.table(), "")


if __name__ == "__main__":
    main()
