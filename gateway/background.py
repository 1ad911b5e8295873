"""Work that repeats while the process runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from shared.background import running
from shared.backoff import backoff_seconds

log = structlog.get_logger(__name__)


@asynccontextmanager
async def repeating(work: Callable[[], Awaitable[bool]], seconds: float) -> AsyncIterator[None]:
    """Inside the block `work` runs every so often; sooner, with a back-off, while it says that it failed."""
    async with running(_repeat(work, seconds), "repeated work"):
        yield


async def _repeat(work: Callable[[], Awaitable[bool]], seconds: float) -> None:
    failures = 0
    while True:
        failures = 0 if await _succeeds(work) else failures + 1
        await asyncio.sleep(backoff_seconds(failures, base=0.2, cap=min(seconds, 2)) if failures else seconds)


async def _succeeds(work: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await work()
    except Exception:
        log.exception("background work failed")
        return False
