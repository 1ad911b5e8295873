"""Background tasks of an application."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import structlog

from shared.backoff import backoff_seconds
from shared.errors import UnavailableError
from shared.health import Health

log = structlog.get_logger(__name__)


@asynccontextmanager
async def running(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run `work` beside the block, cancel it afterwards. A crash of it is logged, never lost.

    A cancellation that comes while the block ends goes on to whoever waits for the block.
    """
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_report)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])  # `await task` with its cancellation suppressed would suppress ours too


class Kept:
    """Repeats `work` whenever it crashes, after pauses that grow until a run has lasted for `steady_seconds`."""

    def __init__(self, work: Callable[[], Coroutine[Any, Any, None]], name: str, steady_seconds: float = 5.0) -> None:
        self._work = work
        self._name = name
        self._steady_seconds = steady_seconds
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            steady = loop.call_later(self._steady_seconds, self._forgive)
            try:
                await self._work()
            except Exception as error:
                log.critical("background task died", task=self._name, exc_info=error)
            finally:
                steady.cancel()
            self._failures += 1
            await asyncio.sleep(backoff_seconds(self._failures - 1))

    async def ping(self) -> None:
        """Raises UnavailableError from a crash on until a run has been steady."""
        if self._failures:
            raise UnavailableError

    def _forgive(self) -> None:
        self._failures = 0


@asynccontextmanager
async def kept_running(work: Callable[[], Coroutine[Any, Any, None]], name: str, health: Health) -> AsyncIterator[None]:
    """Run work that never ends beside the block, again whenever it crashes; the process is not ready meanwhile."""
    kept = Kept(work, name)
    health.register(name.replace(" ", "_"), kept.ping)
    async with running(kept.run(), name):
        yield


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        log.critical("background task died", task=task.get_name(), exc_info=error)
