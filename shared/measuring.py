"""Gauges of what a database holds: asked for every few seconds, never by the scrape itself."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import structlog

from shared.db import DatabaseUnavailableError

log = structlog.get_logger(__name__)

EVERY_SECONDS = 5.0
# Beyond this many rows nobody needs the exact number, and counting them would cost what they wait for.
MOST_COUNTED = 10_000


async def measure_forever(measure: Callable[[], Awaitable[None]], every_seconds: float = EVERY_SECONDS) -> None:
    """Until cancelled; an outage of the database leaves the gauges as they were."""
    while True:
        try:
            await measure()
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            log.warning("not_measured", cause=repr(error.__cause__ or error))
        await asyncio.sleep(every_seconds)
