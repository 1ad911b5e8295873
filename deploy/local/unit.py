"""One program of the stack: how to start it, when it is ready, how to end it."""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from deploy.local.state import has_ended, start_of
from deploy.local.system import ROOT, StartError

POLL_SECONDS = 0.1
LOG_LIMIT_BYTES = 20_000_000


def nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True)
class Unit:
    """A program. `ready` answers whether it can be used now; it may raise, which counts as no."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    ready: Callable[[], Awaitable[bool]]
    port: int
    stage: int = 0  # the highest stage is stopped first
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit: timedelta = timedelta(seconds=30)
    start_limit: timedelta = timedelta(seconds=60)
    before_start: Callable[[], None] = nothing


class Running:
    """A started unit, with its log file. It leads a process group of its own, so that Ctrl-C reaches only us.

    It is not reaped before its group is ended: until then its pid cannot become somebody else's.
    """

    def __init__(self, unit: Unit, log: Path) -> None:
        self.unit = unit
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_suffix(".log.1"))
        unit.before_start()
        try:
            with log.open("ab") as out:
                self._popen = subprocess.Popen(
                    unit.argv, env=unit.env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0
                )
        except OSError as error:
            raise StartError(f"{unit.name} could not be started: {error}.") from error
        self.pid = self._popen.pid
        self._process = psutil.Process(self.pid)
        self.started = start_of(self.pid)

    @property
    def is_alive(self) -> bool:
        return not has_ended(self._process)

    async def wait_ready(self) -> None:
        """Wait until it can be used.

        Raises:
            StartError: it ended, or was not ready within its limit; with the end of its log.
        """
        limit = time.monotonic() + self.unit.start_limit.total_seconds()
        while not await is_ready(self.unit):
            if not self.is_alive:
                raise StartError(
                    f"{self.unit.name} ended with status {self.reap()} while it started.\n{last_words(self.log)}"
                )
            if time.monotonic() > limit:
                waited = f"{self.unit.start_limit.total_seconds():.0f} s"
                raise StartError(f"{self.unit.name} was not ready after {waited}.\n{last_words(self.log)}")
            await asyncio.sleep(POLL_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is there."""
        if self.is_alive:
            os.kill(self.pid, number)

    async def stop(self, *, at_once: asyncio.Event | None = None) -> int:
        """Ask it to end and wait; kill it at the limit, or as soon as `at_once` is set. Returns its exit status."""
        self.send(self.unit.stop_signal)
        await until(lambda: not self.is_alive or (at_once is not None and at_once.is_set()), self.unit.stop_limit)
        return await asyncio.to_thread(self.reap)

    def reap(self) -> int:
        """Kill what is left of its group and collect its exit status (minus the signal's number when killed)."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies only
                os.killpg(self.pid, signal.SIGKILL)
        return self._popen.wait()


async def until(condition: Callable[[], bool], limit: timedelta = timedelta.max) -> None:
    """Wait until a condition holds, or the limit has passed."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit.total_seconds():
            return
        await asyncio.sleep(POLL_SECONDS)


def last_words(log: Path, lines: int = 15) -> str:
    """The end of a log, for an error message."""
    return "\n  ".join([f"The end of {log}:", *log.read_text(errors="replace").splitlines()[-lines:]])


async def is_ready(unit: Unit) -> bool:
    """Ask a unit's readiness; no answer, or an error, is a no."""
    try:
        async with asyncio.timeout(2):
            return await unit.ready()
    except Exception:  # noqa: BLE001  # each kind of probe fails in its own ways, and all of them mean: not yet
        return False
