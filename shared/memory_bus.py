"""The event bus inside one process: for the all-in-one start without RabbitMQ, and for tests.

Bounded and limited like the real one. What it cannot do is survive its process: events that were published and not yet
handled are gone with it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from shared.backoff import backoff_seconds
from shared.bus import DELIVERY_LIMIT, BrokerUnavailableError, EventHandler
from shared.deliveries import Dispatcher
from shared.events import Event


def matches(pattern: str, routing_key: str) -> bool:
    """AMQP 0-9-1 topic matching: words between dots, `*` is one of them, `#` any number."""
    return _words_match(pattern.split("."), routing_key.split("."))


def _words_match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_words_match(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in {"*", words[0]} and _words_match(pattern[1:], words[1:])


class _Queue:
    def __init__(self, capacity: int, delivery_limit: int) -> None:
        self.bindings: set[str] = set()
        self.ready: asyncio.Queue[_MemoryDelivery] = asyncio.Queue()
        self.dead: deque[bytes] = deque(maxlen=capacity)
        self.delivery_limit = delivery_limit
        self._room = asyncio.Semaphore(capacity)

    async def put(self, body: bytes) -> None:
        """Waits while the queue is full."""
        await self._room.acquire()
        self.ready.put_nowait(_MemoryDelivery(self, body))

    def settled(self) -> None:
        self._room.release()


class _MemoryDelivery:
    def __init__(self, queue: _Queue, body: bytes) -> None:
        self._queue = queue
        self.body = body
        self.failures = 0

    async def accept(self) -> None:
        self._queue.settled()

    async def retry(self) -> None:
        self.failures += 1
        if self.failures > self._queue.delivery_limit:
            await self.reject()
        else:
            self._queue.ready.put_nowait(self)

    async def reject(self) -> None:
        self._queue.dead.append(self.body)
        self._queue.settled()


class MemorySubscription:
    """Takes events from a queue as fast as the dispatcher has room for them."""

    def __init__(
        self, queue: _Queue, dispatcher: Dispatcher, prefetch: int, forget: Callable[[], object] | None
    ) -> None:
        self._queue = queue
        self._dispatcher = dispatcher
        self._forget = forget
        self._room = asyncio.Semaphore(prefetch)
        self._pump = asyncio.create_task(self._take())

    async def _take(self) -> None:
        while True:
            await self._room.acquire()
            task = self._dispatcher.dispatch(await self._queue.ready.get())
            task.add_done_callback(lambda _: self._room.release())

    async def close(self, timeout_seconds: float = 10) -> None:
        self._pump.cancel()
        with suppress(asyncio.CancelledError):
            await self._pump
        await self._dispatcher.close(timeout_seconds)
        if self._forget is not None:
            self._forget()


class InMemoryBus:
    """An `EventBus` of this process. `capacity` bounds each queue and its dead letters (the oldest are dropped)."""

    def __init__(
        self,
        *,
        capacity: int = 10_000,
        delivery_limit: int = DELIVERY_LIMIT,
        backoff: Callable[[int], float] = backoff_seconds,
    ) -> None:
        self._capacity = capacity
        self._delivery_limit = delivery_limit
        self._backoff = backoff
        self._queues: dict[str, _Queue] = {}
        self._subscriptions: list[MemorySubscription] = []
        self._is_closed = False

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        confirmed: set[str] = set()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                for event in events:
                    await self._publish(event)
                    confirmed.add(event.id)
        return confirmed

    async def _publish(self, event: Event) -> None:
        body = event.to_bytes()
        for queue in self._queues.values():
            if any(matches(binding, event.type) for binding in queue.bindings):
                await queue.put(body)

    async def subscribe(
        self,
        queue: str,
        bindings: Sequence[str],
        handler: EventHandler,
        *,
        prefetch: int = 32,
        expires_seconds: int | None = None,
    ) -> MemorySubscription:
        await self.ping()
        store = self._queues.setdefault(queue, _Queue(self._capacity, self._delivery_limit))
        store.bindings.update(bindings)
        dispatcher = Dispatcher(queue, handler, prefetch, self._backoff)
        forget = None if expires_seconds is None else lambda: self._queues.pop(queue, None)
        subscription = MemorySubscription(store, dispatcher, prefetch, forget)
        self._subscriptions.append(subscription)
        return subscription

    def dead_letters(self, queue: str) -> list[Event]:
        """The events that failed too often, oldest first."""
        return [Event.from_bytes(body) for body in self._queues[queue].dead]

    async def ping(self) -> None:
        if self._is_closed:
            raise BrokerUnavailableError

    async def close(self) -> None:
        self._is_closed = True
        await asyncio.gather(*(subscription.close() for subscription in self._subscriptions))
