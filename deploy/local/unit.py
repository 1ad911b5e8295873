"""One program of the stack: how to start it, when it is ready, how to end it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psutil

from deploy.local.system import ROOT, StartError

POLL_SECONDS = 0.1
LOG_LIMIT_BYTES = 20_000_000


@dataclass(frozen=True)
class Unit:
    """A program. `ready` answers whether it can be used now; it may raise, which counts as no."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    port: int | None = None
    stage: int = 0  # the highest stage is stopped first
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit: timedelta = timedelta(seconds=30)
    start_limit: timedelta = timedelta(seconds=60)
    before_start: Callable[[], None] = field(default=lambda: None)


class Running:
    """A started unit, with its log file. It leads a process group of its own, so that Ctrl-C reaches only us."""

    def __init__(self, unit: Unit, log: Path) -> None:
        self.unit = unit
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        unit.before_start()
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                unit.argv, env=unit.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
            )
        # A program that has gone already has no start time to ask for; it is reaped by `process.poll()`.
        with contextlib.suppress(psutil.NoSuchProcess):
            self.created = psutil.Process(self.process.pid).create_time()

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    async def wait_ready(self) -> None:
        """Wait until it can be used.

        Raises:
            StartError: it ended, or was not ready within its limit; with the end of its log.
        """
        limit = time.monotonic() + self.unit.start_limit.total_seconds()
        while not await is_ready(self.unit):
            if not self.is_alive:
                raise StartError(f"{self.unit.name} ended with status {self.process.returncode}. {self.last_words()}")
            if time.monotonic() > limit:
                raise StartError(f"{self.unit.name} was not ready after {self.unit.start_limit.seconds} s. {self.last_words()}")
            await asyncio.sleep(POLL_SECONDS)

    async def stop(self, *, at_once: asyncio.Event | None = None) -> None:
        """Ask it to end and wait; kill what is left at the limit, or as soon as `at_once` is set."""
        if self.is_alive:
            self.process.send_signal(self.unit.stop_signal)
        limit = time.monotonic() + self.unit.stop_limit.total_seconds()
        while self.is_alive and time.monotonic() < limit and not (at_once and at_once.is_set()):
            await asyncio.sleep(POLL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its helpers too, if it left any
        await asyncio.to_thread(self.process.wait)

    def last_words(self, lines: int = 15) -> str:
        """The end of its log, for an error message."""
        text = self.log.read_text(errors="replace").splitlines()[-lines:]
        return "\n  ".join([f"The end of {self.log}:", *text])


async def is_ready(unit: Unit) -> bool:
    """Ask a unit's readiness; no answer, or an error, is a no."""
    try:
        async with asyncio.timeout(2):
            return await unit.ready()
    except Exception:  # noqa: BLE001  # each kind of probe fails in its own ways, and all of them mean: not yet
        return False
