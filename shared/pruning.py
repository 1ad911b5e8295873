"""Keeps a table from growing for ever."""

import asyncio
from datetime import timedelta

import asyncpg
import structlog

from shared.db import Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)


async def prune_forever(
    db: Database, statement: str, older_than: timedelta, *, every: timedelta = timedelta(minutes=10), batch: int = 1000
) -> None:
    """Run the DELETE `statement` with (age, batch) at once and then every ten minutes; an outage only postpones it."""
    while True:
        try:
            await _prune(db, statement, older_than, batch)
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            log.warning("pruning_failed", cause=repr(error.__cause__ or error))
        await asyncio.sleep(every.total_seconds())


async def _prune(db: Database, statement: str, older_than: timedelta, batch: int) -> None:
    """In batches, so that each holds its locks briefly."""
    while await db.execute(statement, older_than, batch) == f"DELETE {batch}":
        log.debug("pruned", rows=batch)
