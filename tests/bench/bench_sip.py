"""Calls set up and taken down, in and out, without audio: ours beside what others have made.

`make bench ARGS=sip`, or `python -m tests.bench.bench_sip` for this alone.
"""

import asyncio
import time
from dataclasses import dataclass

from rich.console import Console

from tests.bench.other_end import OtherEnd, answers
from tests.bench.phones import OURS, Phone, missing, phones, running
from tests.bench.sections import Cell, Section, at_least, load_average, percentile

SECONDS = 8
LATEST_SECONDS = 10.0
BAR = 200


@dataclass(frozen=True)
class Result:
    """What came of `offered` calls. `setups` has the seconds that each answered one took."""

    phone: Phone
    direction: str
    offered: int
    setups: list[float]
    wall_seconds: float
    cpu_seconds: float

    @property
    def cpu_ms(self) -> float | None:
        """CPU time a call that was answered."""
        return self.cpu_seconds * 1000 / len(self.setups) if self.setups else None

    def row(self) -> list[Cell]:
        """Of the table."""
        per_second = len(self.setups) / self.wall_seconds
        p50, p99 = (percentile([one * 1000 for one in self.setups], percent) for percent in (50, 99))
        bar = at_least(per_second, BAR) if self.phone is OURS else ""
        a_core = 1000 / self.cpu_ms if self.cpu_ms else None
        answered = f"{len(self.setups)} of {self.offered}"
        return [f"{self.direction}: {self.phone.name}", answered, per_second, bar, self.cpu_ms, a_core, p50, p99]


async def calls_in(phone: Phone) -> Result:
    """Call it at its pace; each call is hung up as soon as it is answered."""
    other = OtherEnd()
    await other.open()
    count, calls = phone.calls_per_second * SECONDS, []
    async with running(phone, "answer", other.port) as telephone:
        cpu, began = telephone.cpu_seconds(), time.perf_counter()
        for number in range(count):
            call = other.call(telephone.port)
            call.answered.add_done_callback(
                lambda answered, call=call: None if answered.exception() else other.hang_up(call, telephone.port)
            )
            calls.append(call)
            await asyncio.sleep(max(0.0, began + (number + 1) / phone.calls_per_second - time.perf_counter()))
        setups = await answers(calls, LATEST_SECONDS)
        wall = time.perf_counter() - began
        await _settled(other)
        cpu = telephone.cpu_seconds() - cpu
    other.close()
    return Result(phone, "in", count, setups, wall, cpu)


async def _settled(other: OtherEnd) -> None:
    """Until every BYE was answered, or two seconds passed."""
    waiting = [asyncio.ensure_future(call.is_over.wait()) for call in other.calls.values() if call.answered.done()]
    if waiting:
        _, left = await asyncio.wait(waiting, timeout=2)
        for task in left:
            task.cancel()


async def calls_out(phone: Phone) -> Result:
    """Have it call us at its pace, and hang up as soon as we answered."""
    other = OtherEnd()
    await other.open()
    count = phone.calls_per_second * SECONDS
    async with running(phone, "dial", other.port, count, phone.calls_per_second) as telephone:
        cpu = telephone.cpu_seconds()
        told = await telephone.ask(SECONDS + 2 * LATEST_SECONDS)
        cpu = telephone.cpu_seconds() - cpu
    other.close()
    return Result(phone, "out", count, told["setups"], told["seconds"], cpu)


async def sip(_rig: object = None) -> list[Section]:
    """About 20 s a telephone: calls a second, in and out."""
    before = load_average()
    results = [await measure(phone) for measure in (calls_in, calls_out) for phone in phones()]
    columns = ("", "answered", "calls/s", "bar", "CPU ms a call", "calls/s a core", "set-up p50 ms", "p99 ms")
    return [Section(_TITLE, columns, [result.row() for result in results], before, [*_ratios(results), *missing()])]


_TITLE = f"Calls set up and hung up, {SECONDS} s at the pace that each can keep"


def _ratios(results: list[Result]) -> list[str]:
    ours = {result.direction: result.cpu_ms for result in results if result.phone is OURS}
    notes = []
    for result in results:
        own = ours[result.direction]
        if result.phone is not OURS and result.cpu_ms and own:
            notes.append(f"CPU a call {result.direction}, {result.phone.name} by ours: {result.cpu_ms / own:.1f} x.")
    return notes


def main() -> None:
    """Measure and print."""
    console = Console(width=140)
    for section in asyncio.run(sip()):
        console.print(section.table(), "")


if __name__ == "__main__":
    main()
