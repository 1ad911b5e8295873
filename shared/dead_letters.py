"""Events that a consumer failed on too often, resting in `<queue>.dead`: looked at, and given to their queue again.

A letter is always published and confirmed at its new place before it is taken from the old one: a crash may double
it, which `shared.inbox` expects, and never loses it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.amqp import OPERATION_TIMEOUT_SECONDS, translated
from shared.errors import ApiError
from shared.events import Event

CONNECT_TIMEOUT_SECONDS = 5


class QueueNotFoundError(ApiError):
    """There is no dead-letter queue of this name."""

    code = "queue_not_found"
    status = 404


class DeadLetters:
    """The dead letters of one queue."""

    def __init__(self, channel: AbstractChannel, queue: str, dead: AbstractQueue) -> None:
        self._channel = channel
        self._queue = queue
        self._dead = dead

    @classmethod
    @asynccontextmanager
    async def of(cls, url: str, queue: str, *, prefix: str = "") -> AsyncIterator["DeadLetters"]:
        """Connect.

        Raises:
            BrokerUnavailableError: RabbitMQ can't be reached.
            QueueNotFoundError: no consumer has made this queue yet.
        """
        name = prefix + queue
        with translated("connecting"):
            connection = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT_SECONDS)
        async with connection:
            with translated("opening the dead letters"):
                channel = await connection.channel()
                try:
                    dead = await channel.get_queue(f"{name}.dead")
                except ChannelNotFoundEntity as error:
                    raise QueueNotFoundError(f"There is no queue {name}.dead.") from error
            yield cls(channel, name, dead)

    @property
    def count(self) -> int:
        """How many there were when this was opened."""
        return self._dead.declaration_result.message_count or 0

    async def read(self, limit: int) -> list[Event | None]:
        """The oldest ones; None for what is no event.

        Each letter goes round to the end of its queue: returning it would count as a failed delivery, and RabbitMQ 4
        drops a message after 20 of those. Hence all are turned, so that they keep their order.
        """
        found: list[Event | None] = []

        async def turn(message: AbstractIncomingMessage) -> None:
            if len(found) < limit:
                found.append(_event(message))
            await self._move(message, self._dead.name)

        await self._each(turn)
        return found

    async def replay(self, event_ids: Collection[str] = ()) -> int:
        """Give them to their queue again, all or those with these ids; how many."""
        replayed = 0

        async def settle(message: AbstractIncomingMessage) -> None:
            nonlocal replayed
            is_wanted = not event_ids or message.message_id in event_ids
            await self._move(message, self._queue if is_wanted else self._dead.name)
            replayed += is_wanted

        await self._each(settle)
        return replayed

    async def _each(self, settle: Callable[[AbstractIncomingMessage], Awaitable[None]]) -> None:
        """Those that are there now, and not what comes back meanwhile."""
        with translated("moving dead letters"):
            for _ in range(self.count):
                message = await self._dead.get(fail=False, timeout=OPERATION_TIMEOUT_SECONDS)
                if message is None:
                    return
                await settle(message)

    async def _move(self, message: AbstractIncomingMessage, queue: str) -> None:
        copy = aio_pika.Message(
            message.body,
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
            timestamp=message.timestamp,
            type=message.type,
            app_id=message.app_id,
        )
        await self._channel.default_exchange.publish(copy, queue, mandatory=True, timeout=OPERATION_TIMEOUT_SECONDS)
        await message.ack()


def _event(message: AbstractIncomingMessage) -> Event | None:
    try:
        return Event.from_bytes(message.body)
    except ValueError:
        return None
