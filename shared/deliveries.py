"""What happens to a delivered event, whichever broker brought it: handle, settle, back off, close in order."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog
from prometheus_client import Counter

from shared.backoff import backoff_seconds
from shared.bus import EventHandler
from shared.errors import ApiError
from shared.events import Event

log = structlog.get_logger(__name__)


EVENTS = Counter("talkstack_events_received", "Events of a queue, by what became of this try.", ["queue", "result"])


class Delivery(Protocol):
    """One event on its way to a handler, to be settled exactly once."""

    body: bytes
    failures: int

    async def accept(self) -> None:
        """It was handled."""

    async def retry(self) -> None:
        """Back to the queue, counted as a failure."""

    async def reject(self) -> None:
        """To the dead letters."""


def was_cancelled_from_outside() -> bool:
    """Tells a real cancellation from a CancelledError that some library raised."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _is_expected(error: Exception) -> bool:
    """A peer that is away: known well enough without a traceback for every event that waits for it."""
    return isinstance(error, ApiError) and error.retryable


class Dispatcher:
    """Runs `handler` for up to `prefetch` deliveries at a time, each in its own task.

    A failed delivery is *held* for a jittered back-off before it goes back to its queue. Both RabbitMQ 3 and 4 would
    redeliver it at once, so 20 tries would be over within milliseconds. The other ways are a plugin (delayed
    exchange), or a chain of queues with a TTL, whose messages lose their delivery count and so their limit. The price
    is a slot of the prefetch for the time of the hold, which also keeps a queue that only fails from spinning.
    """

    def __init__(
        self, queue: str, handler: EventHandler, prefetch: int, backoff: Callable[[int], float] = backoff_seconds
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._slots = asyncio.Semaphore(prefetch)
        self._backoff = backoff
        self._closing = asyncio.Event()
        self._running: dict[asyncio.Task[None], Delivery] = {}

    def dispatch(self, delivery: Delivery) -> asyncio.Task[None]:
        """Start the handler; the task ends when the delivery is settled."""
        task = asyncio.create_task(self._settle(delivery))
        self._running[task] = delivery
        task.add_done_callback(self._running.pop)
        return task

    async def close(self, timeout_seconds: float) -> None:
        """Wait for the handlers, cancel those that need longer, and give their deliveries back."""
        self._closing.set()
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=timeout_seconds)
        unsettled = [self._running[task] for task in late]
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        await asyncio.gather(*(delivery.retry() for delivery in unsettled))

    async def _settle(self, delivery: Delivery) -> None:
        try:
            event = Event.from_bytes(delivery.body)
        except ValueError:
            log.exception("event_undecodable", queue=self._queue)
            EVENTS.labels(self._queue, "undecodable").inc()
            await delivery.reject()
            return
        async with self._slots:
            handled = await self._handled(event, delivery.failures)
        EVENTS.labels(self._queue, "handled" if handled else "failed").inc()
        if handled:
            await delivery.accept()
            return
        await self._hold(self._backoff(delivery.failures))
        await delivery.retry()

    async def _handled(self, event: Event, failures: int) -> bool:
        try:
            await self._handler(event)
        except asyncio.CancelledError:
            if was_cancelled_from_outside():
                raise
            log.warning("event_handler_cancelled", queue=self._queue, event_id=event.id, type=event.type)
            return False
        except Exception as error:
            log.warning(
                "event_handler_failed",
                queue=self._queue,
                event_id=event.id,
                type=event.type,
                failures=failures + 1,
                error=type(error).__name__,
                exc_info=not _is_expected(error),
            )
            return False
        return True

    async def _hold(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
