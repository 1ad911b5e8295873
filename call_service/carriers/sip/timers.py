"""Timers of RFC 3261, on the loop's clock or on virtual time."""

import asyncio
from collections.abc import Callable

from call_service.carriers.ticker import Scheduler

T1 = 0.5
T2 = 4.0
T4 = 5.0
TRANSACTION_TIMEOUT = 64 * T1
# Timer D (17.1.1.2): how long answers to our INVITE may still be repeated.
LINGER = 32.0


class Timer:
    """One pending call; `cancel` frees what the callback holds."""

    __slots__ = ("_callback", "_handle")

    def __init__(self, scheduler: Scheduler, when: float, callback: Callable[[], None]) -> None:
        self._callback: Callable[[], None] | None = callback
        self._handle = scheduler.call_at(when, self._fire)

    def cancel(self) -> None:
        """Harmless when it fired."""
        self._callback = None
        if isinstance(self._handle, asyncio.TimerHandle):
            self._handle.cancel()

    def _fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback:
            callback()


class Timers:
    """Sets timers on a scheduler: the running loop unless another is given."""

    def __init__(self, scheduler: Scheduler | None = None) -> None:
        self._scheduler = scheduler

    def now(self) -> float:
        """Monotonic seconds."""
        return self._clock.time()

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once in `seconds`."""
        return Timer(self._clock, self._clock.time() + seconds, callback)

    @property
    def _clock(self) -> Scheduler:
        if self._scheduler is None:
            self._scheduler = asyncio.get_running_loop()
        return self._scheduler


class TimerSet:
    """The timers of one state machine, by name: setting one replaces it, `clear` cancels all."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._pending: dict[str, Timer] = {}

    def set(self, name: str, seconds: float, callback: Callable[[], None]) -> None:
        """Call `callback` once in `seconds`."""
        self.cancel(name)
        self._pending[name] = self._timers.after(seconds, callback)

    def cancel(self, *names: str) -> None:
        """Harmless for those that are not set."""
        for name in names:
            if timer := self._pending.pop(name, None):
                timer.cancel()

    def clear(self) -> None:
        """Cancel all."""
        self.cancel(*self._pending)
