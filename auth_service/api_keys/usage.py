"""When keys were last used, written behind: a verification only reads the database."""

import asyncio
from datetime import datetime

import asyncpg
import structlog

from auth_service.api_keys import repository
from shared.clock import Clock
from shared.db import Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 5.0


class KeyUsage:
    """Bounded by the number of keys. What a crash loses is five seconds of a date that people read in days."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._used: dict[str, datetime] = {}

    def note(self, key_id: str) -> None:
        self._used[key_id] = self._clock.now()

    async def flush(self) -> None:
        """Write what was noted; keeps it when the database can't be reached."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            await repository.mark_used(self._db, used)
        except (DatabaseUnavailableError, asyncpg.PostgresError):
            self._used = used | self._used
            log.warning("key usage not written", exc_info=True)

    async def run(self) -> None:
        """Until cancelled; then once more."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush()
