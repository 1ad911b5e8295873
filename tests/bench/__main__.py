"""`make bench`: measures a whole stack on this machine and prints tables, with the bars beside the figures.

It measures and never judges: the exit status is 0 unless something broke. All of it takes a quarter of an hour.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from deploy.local.system import StartError
from tests.bench.api import gateway, make_call
from tests.bench.bench_batches import batches
from tests.bench.bench_gateway import peers
from tests.bench.bench_pipecat import pipecat
from tests.bench.bench_rtp import rtp
from tests.bench.bench_sip import sip
from tests.bench.calls import concurrency, null, voice
from tests.bench.conversation import conversation
from tests.bench.events import events
from tests.bench.rig import Rig, running
from tests.bench.sections import Section, machine
from tests.bench.webhooks import webhooks

Benchmark = Callable[[Any], Awaitable[list[Section]]]
BENCHMARKS: Mapping[str, tuple[Benchmark, int]] = {
    "gateway": (gateway, 90),
    "peers": (peers, 240),
    "makecall": (make_call, 150),
    "voice": (voice, 240),
    "concurrency": (concurrency, 400),
    "null": (null, 270),
    "events": (events, 240),
    "webhooks": (webhooks, 180),
    "conversation": (conversation, 600),
    "batches": (batches, 240),
    "sip": (sip, 180),
    "rtp": (rtp, 360),
    "pipecat": (pipecat, 1800),
}
"""Each with the seconds after which it is given up; what it takes on two free cores is in its docstring."""
ALONE = frozenset({"batches", "peers", "pipecat", "sip", "rtp"})
"""These need no stack and come first, without one beside them."""


async def run(names: Sequence[str], console: Console) -> list[Section]:
    """Measure and print; the tables are returned as well. Ended by SIGTERM it stops what it started first, as by ^C."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    found: list[Section] = []
    for name in names:
        if name in ALONE:
            found += await _measure(name, None, console)
    if not set(names) <= ALONE:
        with tempfile.TemporaryDirectory(prefix="talkstack-bench-") as var:
            console.print("starting a stack of its own ...")
            async with running(Path(var)) as rig:
                for name in names:
                    if name not in ALONE:
                        found += await _measure(name, rig, console)
    return found


async def _measure(name: str, rig: Rig | None, console: Console) -> list[Section]:
    benchmark, limit_seconds = BENCHMARKS[name]
    console.print(f"{name}: {benchmark.__doc__}\n")
    async with asyncio.timeout(limit_seconds):
        sections = await benchmark(rig)
    for section in sections:
        console.print(section.table(), "")
    return sections


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(BENCHMARKS):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    console = Console(width=None if sys.stdout.isatty() else 120)
    about = machine()
    console.print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in about.items()))
    try:
        sections = asyncio.run(run(arguments.names or list(BENCHMARKS), console))
    except StartError as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("Stopped.")
    if arguments.json:
        report = {"machine": about, "sections": [asdict(section) for section in sections]}
        arguments.json.write_bytes(orjson.dumps(report, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    main()
