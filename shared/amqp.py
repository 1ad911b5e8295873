"""The event bus on RabbitMQ (3.10 and later, 4 included) by aio-pika.

Topology: one durable topic exchange; per consumer a durable quorum queue with an explicit delivery limit, and
`<queue>.dead` beside it, which the broker itself fills at least once (https://www.rabbitmq.com/docs/quorum-queues).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress

import aio_pika
import stamina
import structlog
from aio_pika.abc import (
    AbstractIncomingMessage,
    AbstractRobustChannel,
    AbstractRobustConnection,
    AbstractRobustExchange,
    AbstractRobustQueue,
)
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AuthenticationError, ProbableAuthenticationError
from yarl import URL

from shared.backoff import backoff_seconds
from shared.bus import DELIVERY_LIMIT, EXCHANGE, BrokerUnavailableError, EventHandler
from shared.deliveries import Dispatcher, was_cancelled_from_outside
from shared.events import Event

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 15
OPERATION_TIMEOUT_SECONDS = 10.0
_FAILURES = (*CONNECTION_EXCEPTIONS, TimeoutError)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Failures of the broker become BrokerUnavailableError.

    Among them a CancelledError that nobody asked for: aio-pika 10.2 raises it in a `publish` that waits while a stuck
    connection is cut for its missing heartbeats.
    """
    try:
        yield
    except asyncio.CancelledError:
        if was_cancelled_from_outside():
            raise
        raise BrokerUnavailableError(f"RabbitMQ cut the connection while {doing}.") from None
    except _FAILURES as error:
        raise BrokerUnavailableError(f"RabbitMQ failed while {doing}: {type(error).__name__}.") from error


async def _attempt(doing: str, operation: Awaitable[object]) -> None:
    """For what needs no second try: when it fails the channel is gone, and the broker requeues what was open on it."""
    with suppress(BrokerUnavailableError), translated(doing):
        async with asyncio.timeout(OPERATION_TIMEOUT_SECONDS):
            await operation


class _AmqpDelivery:
    """A message of a quorum queue, which counts its earlier deliveries in a header."""

    def __init__(self, message: AbstractIncomingMessage) -> None:
        self._message = message
        self.body = message.body
        count = message.headers.get("x-delivery-count", 0)
        self.failures = count if isinstance(count, int) else 0

    async def accept(self) -> None:
        await _attempt("acknowledging a message", self._message.ack())

    async def retry(self) -> None:
        await _attempt("returning a message", self._message.nack(requeue=True))

    async def reject(self) -> None:
        await _attempt("rejecting a message", self._message.reject(requeue=False))


def _queue_arguments(queue: str, delivery_limit: int, expires_seconds: int | None) -> dict[str, str | int]:
    limited: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": delivery_limit}
    if expires_seconds is not None:
        return {**limited, "x-expires": expires_seconds * 1000}
    return {
        **limited,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{queue}.dead",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # demanded by at-least-once
    }


class AmqpSubscription:
    """A consumer with a channel of its own; the library restores both after a reconnect."""

    def __init__(
        self, channel: AbstractRobustChannel, queue: AbstractRobustQueue, tag: str, dispatcher: Dispatcher
    ) -> None:
        self._channel = channel
        self._queue = queue
        self._tag = tag
        self._dispatcher = dispatcher

    async def close(self, timeout_seconds: float = 10) -> None:
        await _attempt("unsubscribing", self._queue.cancel(self._tag))
        await self._dispatcher.close(timeout_seconds)
        await _attempt("closing a channel", self._channel.close())


class AmqpBus:
    """An `EventBus` on RabbitMQ that reconnects by itself.

    It has one connection to publish and one to consume: under a memory or disk alarm the broker stops reading from
    connections that publish, and acknowledgements on them would wait as well, so that nothing drained.
    """

    def __init__(
        self,
        publishing: AbstractRobustConnection,
        consuming: AbstractRobustConnection,
        exchange: AbstractRobustExchange,
        *,
        prefix: str,
        delivery_limit: int,
        backoff: Callable[[int], float],
    ) -> None:
        self._publishing = publishing
        self._consuming = consuming
        self._exchange = exchange
        self._prefix = prefix
        self._delivery_limit = delivery_limit
        self._backoff = backoff
        self._subscriptions: list[AmqpSubscription] = []

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        prefix: str = "",
        patience_seconds: float = 30,
        delivery_limit: int = DELIVERY_LIMIT,
        backoff: Callable[[int], float] = backoff_seconds,
    ) -> "AmqpBus":
        """Connect and declare the exchange, retrying for `patience_seconds` while RabbitMQ starts.

        `prefix` goes before the names of the exchange and the queues.

        Raises:
            BrokerUnavailableError: it could not be reached in that time, or refused the credentials.
        """
        async with AsyncExitStack() as undo:
            publishing = await _open(url, "publish", patience_seconds)
            undo.push_async_callback(publishing.close)
            consuming = await _open(url, "consume", patience_seconds)
            undo.push_async_callback(consuming.close)
            with translated("declaring the exchange"):
                async with asyncio.timeout(OPERATION_TIMEOUT_SECONDS):
                    channel = publishing.channel()
                    await channel.initialize()
                    exchange = await _declare_exchange(channel, prefix)
            undo.pop_all()
        return cls(publishing, consuming, exchange, prefix=prefix, delivery_limit=delivery_limit, backoff=backoff)

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        batch = tuple(events)
        confirmed = await asyncio.gather(*(self._is_confirmed(event, timeout_seconds) for event in batch))
        return {event.id for event, is_confirmed in zip(batch, confirmed, strict=True) if is_confirmed}

    async def _is_confirmed(self, event: Event, timeout_seconds: float) -> bool:
        message = aio_pika.Message(
            event.to_bytes(),
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=event.id,
            timestamp=event.time,
            type=event.type,
            app_id=event.source,
        )
        try:
            with translated("publishing"):
                await self._exchange.publish(message, event.type, mandatory=False, timeout=timeout_seconds)
        except BrokerUnavailableError as error:
            log.debug("event_unconfirmed", event_id=event.id, cause=error.message)
            return False
        return True

    async def subscribe(
        self,
        queue: str,
        bindings: Sequence[str],
        handler: EventHandler,
        *,
        prefetch: int = 32,
        expires_seconds: int | None = None,
    ) -> AmqpSubscription:
        name = self._prefix + queue
        dispatcher = Dispatcher(queue, handler, prefetch, self._backoff)

        async def on_message(message: AbstractIncomingMessage) -> None:
            # In a task of its own: the library cancels its tasks when a channel closes, and a handler that is halfway
            # through should not fall with the connection.
            dispatcher.dispatch(_AmqpDelivery(message))

        with translated("subscribing"):
            channel = self._consuming.channel()
        try:
            with translated("subscribing"):
                async with asyncio.timeout(OPERATION_TIMEOUT_SECONDS):
                    await channel.initialize()
                    await channel.set_qos(prefetch_count=prefetch)
                    declared = await self._declare(channel, name, bindings, expires_seconds)
                    tag = await declared.consume(on_message)
        except BaseException:  # or the library would restore a half-made consumer after each reconnect
            await _attempt("closing a channel", channel.close())
            raise
        subscription = AmqpSubscription(channel, declared, tag, dispatcher)
        self._subscriptions.append(subscription)
        return subscription

    async def _declare(
        self, channel: AbstractRobustChannel, name: str, bindings: Sequence[str], expires_seconds: int | None
    ) -> AbstractRobustQueue:
        exchange = await _declare_exchange(channel, self._prefix)
        if expires_seconds is None:
            await channel.declare_queue(f"{name}.dead", durable=True, arguments={"x-queue-type": "quorum"})
        arguments = _queue_arguments(name, self._delivery_limit, expires_seconds)
        queue = await channel.declare_queue(name, durable=True, arguments=arguments)
        for binding in bindings:
            await queue.bind(exchange, binding)
        return queue

    async def ping(self) -> None:
        """Heartbeats every 15 s decide whether a connection lives, so this costs no round trip."""
        for connection in (self._publishing, self._consuming):
            if connection.is_closed or not connection.connected.is_set():
                raise BrokerUnavailableError

    async def close(self) -> None:
        await asyncio.gather(*(subscription.close() for subscription in self._subscriptions))
        for connection in (self._publishing, self._consuming):
            await _attempt("closing", connection.close())


async def _open(url: str, purpose: str, patience_seconds: float) -> AbstractRobustConnection:
    try:
        async for attempt in stamina.retry_context(on=_may_pass, attempts=None, timeout=patience_seconds, wait_max=2):
            with attempt:
                connection = await aio_pika.connect_robust(
                    url,
                    timeout=5,
                    heartbeat=HEARTBEAT_SECONDS,
                    reconnect_interval=random.uniform(0.5, 1.5),  # noqa: S311 - spreads load only
                    client_properties={"connection_name": f"talkstack-{purpose}"},
                )
    except _FAILURES as error:
        place = f"{URL(url).host}:{URL(url).port}"
        raise BrokerUnavailableError(f"RabbitMQ at {place} can't be used: {type(error).__name__}.") from error
    return connection


def _may_pass(error: Exception) -> bool:
    refused = (AuthenticationError, ProbableAuthenticationError)
    return isinstance(error, _FAILURES) and not isinstance(error, refused)


async def _declare_exchange(channel: AbstractRobustChannel, prefix: str) -> AbstractRobustExchange:
    return await channel.declare_exchange(prefix + EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
