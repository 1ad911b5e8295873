"""What a call costs, and how fast it answers: voice sessions on in-memory legs in real time.

    .venv/bin/python -m tests.bench.bench_voice_session

The null rows have free recognition and synthesis but real voice activity detection; the local rows have everything.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from call_service.voice.engines.bundle import load_engines
from tests.bench.callers import Measured, measure, voices
from tests.bench.peers.our_agent import WAIT_MS, converse
from tests.bench.sections import percentile

HEADS = (
    *("engines", "calls", "CPU of a core a call", "voice to voice p50/p95 ms", "barge-in p50/p95 ms"),
    *("loop late p99 ms", "turns", "late ticks", "RSS MB"),
)


async def bench(kinds: Sequence[str], counts: Sequence[int], seconds: float) -> Table:
    """Measure each kind of engines with each number of calls."""
    table = Table(title=f"voice sessions, {seconds:g} s each, {WAIT_MS} ms endpointing")
    for head in HEADS:
        table.add_column(head, justify="right")
    local, null = await load_engines(), await load_engines("null")
    engines = {"null": replace(null, voice_activity=local.voice_activity), "local": local}
    sentences = await voices(local.synthesizer)
    for kind in kinds:
        for count in counts:
            found = await measure(lambda leg, kind=kind: converse(engines[kind], leg), sentences, count, seconds)
            table.add_row(kind, str(count), *_row(found))
    local.close()
    return table


def _row(found: Measured) -> list[str]:
    return [
        f"{found.core_share:.2%}",
        _percentiles(found.voice_to_voice_ms),
        _percentiles(found.barge_in_ms),
        f"{percentile(found.loop_late_ms, 99):.1f}",
        str(found.turns),
        str(found.late_ticks),
        f"{found.rss_mb:.0f}",
    ]


def _percentiles(values: list[float]) -> str:
    return " / ".join(f"{percentile(values, percent):.0f}" for percent in (50, 95)) if values else "-"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=["null", "local"], default=["null", "local"])
    parser.add_argument("--calls", nargs="+", type=int, default=[1, 20, 40])
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    Console(width=140).print(asyncio.run(bench(arguments.engines, arguments.calls, arguments.seconds)))


if __name__ == "__main__":
    main()
