"""One 20 ms clock for all legs of a process.

A task and a clock per call cost five times more than one shared ticker (measured with RTP on loopback).
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog
from prometheus_client import Counter

from call_service.carriers.port import FRAME_MS

log = structlog.get_logger()

MAX_BURST = 5

LATE = Counter("talkstack_ticks_late", "Audio frames that came more than 20 ms late.")
SKIPPED = Counter("talkstack_ticks_skipped", "Audio frames that were given up after a stall.")


class Scheduler(Protocol):
    """The part of an event loop that the ticker needs."""

    def time(self) -> float:
        """Monotonic seconds."""

    def call_at(self, when: float, callback: Callable[[], None], /) -> object:
        """Run `callback` once `time()` reached `when`."""


class Ticking(Protocol):
    """Something that moves in steps of 20 ms."""

    def tick(self) -> None:
        """Move on by one frame."""

    def fail(self) -> None:
        """`tick` raised: end, it will not be called again."""


class Ticker:
    """Ticks its members every period, without drift, from the first `add` to the last `remove`.

    After a stall it catches up by at most `max_burst` ticks and gives up the rest, so that a frozen process does not
    pour seconds of audio into its calls. `late_ticks` counts ticks more than a period behind their time,
    `skipped_ticks` those of them that were given up.
    """

    def __init__(
        self,
        scheduler: Scheduler | None = None,
        *,
        period: timedelta = timedelta(milliseconds=FRAME_MS),
        max_burst: int = MAX_BURST,
    ) -> None:
        self.late_ticks = 0
        self.skipped_ticks = 0
        self._scheduler = scheduler
        self._period = period.total_seconds()
        self._max_burst = max_burst
        self._members: dict[Ticking, None] = {}
        self._due = 0.0
        self._is_running = False

    @property
    def members(self) -> int:
        """How many are ticked."""
        return len(self._members)

    def add(self, member: Ticking) -> None:
        """Tick `member` from the next period on."""
        self._members[member] = None
        if not self._is_running:
            self._is_running = True
            self._due = self._clock.time()
            self._schedule(1)

    def remove(self, member: Ticking) -> None:
        """Tick `member` no more. Harmless when it is not ticked."""
        self._members.pop(member, None)

    @property
    def _clock(self) -> Scheduler:
        if self._scheduler is None:
            self._scheduler = asyncio.get_running_loop()
        return self._scheduler

    def _schedule(self, periods: int) -> None:
        self._due += periods * self._period
        self._clock.call_at(self._due, self._wake)

    def _wake(self) -> None:
        overdue = int((self._clock.time() - self._due) / self._period)
        ticks = min(1 + overdue, self._max_burst)
        self._count(overdue, 1 + overdue - ticks)
        for _ in range(ticks):
            self._tick_all()
        self._is_running = bool(self._members)
        if self._is_running:
            self._schedule(1 + overdue)

    def _count(self, late: int, skipped: int) -> None:
        self.late_ticks += late
        self.skipped_ticks += skipped
        LATE.inc(late)
        SKIPPED.inc(skipped)

    def _tick_all(self) -> None:
        for member in tuple(self._members):
            if member not in self._members:
                continue
            try:
                member.tick()
            except Exception:
                log.exception("ticker.member_failed")
                self._give_up(member)

    def _give_up(self, member: Ticking) -> None:
        self.remove(member)
        try:
            member.fail()
        except Exception:
            log.exception("ticker.member_failed_to_end")
