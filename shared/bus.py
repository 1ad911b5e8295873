"""The port to the event broker, with two adapters: `shared.amqp` (RabbitMQ) and `shared.memory_bus`.

What both promise, and `tests/contract/test_event_bus.py` checks:

* A queue outlives its subscriptions. Subscriptions to one queue share its events; each queue gets its own copy.
* Bindings are topic patterns on the event's type: `*` stands for one word, `#` for any number of them.
* At least once: an event may come twice, and after a failure out of order. `shared.inbox` makes that once.
* A failed event comes again after a back-off, at most `delivery_limit` more times, then rests in `<queue>.dead`.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from shared.errors import UnavailableError
from shared.events import Event

EXCHANGE = "talkstack.events"
DELIVERY_LIMIT = 20
EventHandler = Callable[[Event], Awaitable[None]]


class BrokerUnavailableError(UnavailableError):
    """The event broker is briefly unavailable; try again."""

    code = "broker_unavailable"


class Subscription(Protocol):
    """A running consumer of one queue."""

    async def close(self, timeout_seconds: float = 10) -> None:
        """Take no more events, wait for the handlers that run, give the rest back to the queue."""


class EventBus(Protocol):
    """Publishes events and hands them to subscribers."""

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        """Publish and return the ids that the broker has confirmed; never raises for an unreachable broker.

        An event nobody has a queue for counts as confirmed. One that is missing in the answer may still have arrived.
        """

    async def subscribe(
        self,
        queue: str,
        bindings: Sequence[str],
        handler: EventHandler,
        *,
        prefetch: int = 32,
        expires_seconds: int | None = None,
    ) -> Subscription:
        """Create `queue` if needed, bind it, and run up to `prefetch` handlers at a time.

        With `expires_seconds` the queue is one process's own: it goes, with its events, when nobody has subscribed to
        it for that long or earlier, and an event that fails too often is dropped.

        Raises:
            BrokerUnavailableError: the broker could not be reached.
        """

    async def ping(self) -> None:
        """Raises BrokerUnavailableError while there is no connection."""

    async def close(self) -> None:
        """Close every subscription, then the connection."""
