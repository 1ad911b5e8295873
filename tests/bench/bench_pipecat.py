"""Conversations at once, ours beside Pipecat: the same engines, callers and waits, each in a process of its own.

`make bench ARGS=pipecat`, or `python -m tests.bench.bench_pipecat` for this alone. Pipecat is installed once, into an
environment of its own under `var`.
"""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import orjson
from rich.console import Console

from tests.bench.callers import LATEST_MS, Measured
from tests.bench.sections import Cell, Section, at_least, at_most, load_average, percentile
from tests.support.pipecat import NoPipecatError, output_of, pipecat_python

STEPS = (10, 20, 30, 40, 60, 80, 120, 160)
SECONDS = 20
# The callers begin within four seconds; loading takes two, and what is overloaded ends late.
LIMIT_SECONDS = 120.0
TRIES = 2
OURS, WITH_OURS, WITH_LIBRARY = "ours", "Pipecat, our recogniser", "Pipecat, Moonshine's library"


@dataclass
class Agent:
    """One of those compared, and what came of its steps."""

    name: str
    command: Sequence[str]
    options: Sequence[str] = ()
    steps: dict[int, Measured] = field(default_factory=dict)
    is_full: bool = False

    async def talk(self, calls: int) -> None:
        """Measure a step, unless the one before was too much already; twice if it fails, as others may be at work."""
        for _ in range(0 if self.is_full else TRIES):
            await self._step(calls)
            if calls in self.steps and keeps_up(self.steps[calls]):
                return
        self.is_full = True

    async def _step(self, calls: int) -> None:
        arguments = (*self.command, str(calls), str(SECONDS), *self.options)
        with suppress(TimeoutError):
            told = await output_of(arguments, LIMIT_SECONDS)
            self.steps[calls] = Measured(**orjson.loads(told.splitlines()[-1]))

    @property
    def most_calls(self) -> int:
        """So many at once are answered in time."""
        return max((calls for calls, found in self.steps.items() if keeps_up(found)), default=0)


def keeps_up(found: Measured) -> bool:
    """Is nearly everything answered in time?"""
    p95 = percentile(found.voice_to_voice_ms, 95)
    return p95 is not None and p95 <= LATEST_MS


async def pipecat(_rig: object = None) -> list[Section]:
    """About 12 minutes: conversations at once, ours beside Pipecat, each until it answers too late."""
    before, notes = load_average(), []
    agents = [Agent(OURS, (sys.executable, "-m", "tests.bench.peers.our_agent"))]
    try:
        command = (str(await pipecat_python()), "-m", "tests.bench.peers.pipecat_agent")
        agents += [Agent(WITH_OURS, command, ("ours",)), Agent(WITH_LIBRARY, command, ("library",))]
    except NoPipecatError as error:
        notes.append(f"Without Pipecat, which can't be installed: {error}")
    for calls in STEPS:
        for agent in agents:
            await agent.talk(calls)
    return [_table(agents, before, notes)]


def _table(agents: Sequence[Agent], before: float, notes: Sequence[str]) -> Section:
    rows = [_row(agent, calls, found) for agent in agents for calls, found in agent.steps.items()]
    columns = (
        *("", "calls", "answers", "voice to voice p50 ms", "p95", "bar", "barge-in p95"),
        *("CPU % of a core a call", "loop late p99 ms", "RSS MB"),
    )
    about = (
        f"{SECONDS} s each; 300 ms of silence end a turn; a caller speaks about every 5 s and interrupts every third "
        "answer. CPU time is the whole process's, the callers' part too."
    )
    by_name = {agent.name: agent for agent in agents}
    return Section("Conversations at once", columns, rows, before, [about, *_ratios(by_name), *notes])


def _row(agent: Agent, calls: int, found: Measured) -> tuple[Cell, ...]:
    p50, p95 = (percentile(found.voice_to_voice_ms, percent) for percent in (50, 95))
    return (
        *(agent.name, calls, len(found.voice_to_voice_ms), p50, p95, at_most(p95, LATEST_MS)),
        *(percentile(found.barge_in_ms, 95), 100 * found.core_share),
        *(percentile(found.loop_late_ms, 99), found.rss_mb),
    )


def _ratios(agents: Mapping[str, Agent]) -> list[str]:
    ours = agents[OURS]
    notes = [f"In time, {ours.name}: {ours.most_calls} calls at once."]
    for name, agent in agents.items():
        both = agent.steps.keys() & ours.steps.keys()
        if agent is ours or not both:
            continue
        ratio = ours.most_calls / agent.most_calls if agent.most_calls else None
        dearer = agent.steps[max(both)].core_share / ours.steps[max(both)].core_share
        notes.append(
            f"In time, {name}: {agent.most_calls} calls at once, so ours are {_times(ratio)} ({at_least(ratio, 4)}); "
            f"a call takes {_times(dearer)} our CPU time, of {max(both)} at once."
        )
    return notes


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f} x"


def main() -> None:
    """Measure and print."""
    console = Console(width=170)
    for section in asyncio.run(pipecat()):
        console.print(section.table(), "")


if __name__ == "__main__":
    main()
