"""Work that a NOTIFY wakes."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import structlog

from shared.db import Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)


class Repeater:
    """Repeats `work`: at the start, after each NOTIFY on `channel` or `wake()`, and every `poll_seconds`.

    Polling is for notifications that were lost. An outage of the database only delays it.
    """

    def __init__(
        self, db: Database, channel: str, work: Callable[[], Awaitable[None]], *, poll_seconds: float = 1.0
    ) -> None:
        self._db = db
        self._channel = channel
        self._work = work
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Do not wait for the next notification."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._db.listen(self._channel, lambda _payload: self.wake(), self.wake))
            group.create_task(self._repeat())

    async def _repeat(self) -> None:
        while True:
            self._woken.clear()
            try:
                await self._work()
            except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
                log.warning("repeated_work_failed", channel=self._channel, cause=repr(error.__cause__ or error))
                await asyncio.sleep(self._poll_seconds)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_seconds):
                    await self._woken.wait()
