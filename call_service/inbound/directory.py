"""Who answers a number: the project service knows, and what it said lately is remembered."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from call_service.projects import CalledNumber, ProjectServiceUnavailableError
from shared.clock import Clock

TIMEOUT_SECONDS = 3.0
FRESH_SECONDS = 5.0
STALE_SECONDS = 600.0
MAX_NUMBERS = 1_000


class Source(Protocol):
    """The project service."""

    async def called(self, tenants: Sequence[str], number: str) -> CalledNumber:
        """Raises PhoneNumberUnknownError, ProjectServiceUnavailableError."""


class NumberDirectory:
    """Asks the source at most every 5 s for a number; while it is away, what it said in the last 10 minutes holds."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._known: OrderedDict[tuple[tuple[str, ...], str], tuple[float, CalledNumber]] = OrderedDict()

    async def called(self, tenants: Sequence[str], number: str) -> CalledNumber:
        """Which of `tenants` has the number. Raises PhoneNumberUnknownError, ProjectServiceUnavailableError."""
        key, now = (tuple(tenants), number), self._clock.now().timestamp()
        asked_at, known = self._known.get(key, (0.0, None))
        if known and now - asked_at < FRESH_SECONDS:
            return known
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await self._source.called(tenants, number)
        except (ProjectServiceUnavailableError, TimeoutError):
            if known and now - asked_at < STALE_SECONDS:
                return known
            raise ProjectServiceUnavailableError from None
        self._remember(key, now, found)
        return found

    def _remember(self, key: tuple[tuple[str, ...], str], now: float, found: CalledNumber) -> None:
        self._known[key] = (now, found)
        self._known.move_to_end(key)
        if len(self._known) > MAX_NUMBERS:
            self._known.popitem(last=False)
