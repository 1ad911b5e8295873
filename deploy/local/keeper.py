"""Keeps a program running."""

import asyncio
import time
from pathlib import Path

from deploy.local.system import Report, StartError
from deploy.local.unit import POLL_SECONDS, Running, Unit

CALM_SECONDS = 60  # a process that ran this long is restarted at once again
LONGEST_PAUSE_SECONDS = 30.0


def pause_before_restart(ends_in_a_row: int) -> float:
    """Seconds to wait before a process that keeps ending is started again: 0.5, 1, 2 ... 30."""
    return min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0 ** min(ends_in_a_row, 10))


class Keeper:
    """Keeps one unit running: starts it again when it ends unasked."""

    def __init__(self, unit: Unit, log: Path, report: Report) -> None:
        self.unit = unit
        self._log = log
        self._report = report
        self._wanted = True
        self.running = Running(unit, log)
        self._watch: asyncio.Task[None] | None = None

    async def first_start(self) -> None:
        """Wait until it is ready, then guard it; what fails before that is the start's failure."""
        await self.running.wait_ready()
        self._report(f"{self.unit.name} is ready")
        self._watch = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        ends_in_a_row, since = 0, time.monotonic()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._has_ended():
                continue
            ends_in_a_row = 1 if time.monotonic() - since > CALM_SECONDS else ends_in_a_row + 1
            pause = pause_before_restart(ends_in_a_row)
            self._report(f"{self.unit.name} ended with status {self.running.reap()}; starting it again in {pause} s")
            await asyncio.sleep(pause)
            if self._has_ended():
                self._start_again()
                since = time.monotonic()

    def _has_ended(self) -> bool:
        """Whether it has ended though nobody asked it to."""
        return self._wanted and not self.running.is_alive

    def _start_again(self) -> None:
        try:
            self.running = Running(self.unit, self._log)
        except (StartError, OSError) as error:
            self._report(f"{self.unit.name} could not be started again: {error}")
        else:
            self._report(f"{self.unit.name} was started again")

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """End it and leave it so."""
        self._wanted = False
        await self.running.stop(at_once=at_once)

    async def start(self) -> None:
        """Start it after `stop`, and wait until it is ready."""
        self.running = Running(self.unit, self._log)
        self._wanted = True
        await self.running.wait_ready()

    async def close(self, at_once: asyncio.Event) -> None:
        """End it for good."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})  # raises nothing, however it ended: what it watched is to be stopped
        await self.stop(at_once)
