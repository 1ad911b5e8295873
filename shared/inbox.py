"""The inbox: an event that arrives twice takes effect once.

The event's id and what its handler writes commit together, and only then is the event acknowledged.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta

from shared.backoff import backoff_seconds
from shared.bus import EventBus, Subscription
from shared.db import Database, DatabaseUnavailableError, Tx
from shared.events import Event
from shared.pruning import prune_forever

# One DO block, because a migration's driver takes one statement at a time.
INBOX_TABLE = """
DO $$
BEGIN
    CREATE TABLE inbox (
        queue text NOT NULL,
        event_id uuid NOT NULL,
        handled_at timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (queue, event_id)
    );
    CREATE INDEX inbox_handled_at ON inbox (handled_at);
END $$
"""

InboxHandler = Callable[[Tx, Event], Awaitable[None]]

_REMEMBER = "INSERT INTO inbox (queue, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING true"

_PRUNE = """
DELETE FROM inbox WHERE (queue, event_id) IN (
    SELECT queue, event_id FROM inbox WHERE handled_at < now() - $1::interval ORDER BY handled_at LIMIT $2
)
"""


class Consumer:
    """Runs `handler` once per event of `queue`, in one transaction with the event's id.

    A handler that raises, or takes longer than `handler_timeout`, is rolled back and the event comes again as the bus
    promises. While the database is away the event is kept without using up its tries. Rows older than `retention`
    are deleted, so it bounds how late a duplicate is still recognised.
    """

    def __init__(
        self,
        db: Database,
        bus: EventBus,
        *,
        queue: str,
        bindings: Sequence[str],
        handler: InboxHandler,
        prefetch: int = 8,
        handler_timeout: timedelta = timedelta(seconds=60),
        retention: timedelta = timedelta(days=14),
    ) -> None:
        """`prefetch` handlers run at a time and each holds a connection: keep it below the size of the pool."""
        self._db = db
        self._bus = bus
        self._queue = queue
        self._bindings = bindings
        self._handler = handler
        self._prefetch = prefetch
        self._handler_timeout = handler_timeout
        self._retention = retention
        self._subscription: Subscription | None = None
        self._pruning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises BrokerUnavailableError when the broker can't be reached."""
        self._subscription = await self._bus.subscribe(
            self._queue, self._bindings, self._handle, prefetch=self._prefetch
        )
        self._pruning = asyncio.create_task(prune_forever(self._db, _PRUNE, self._retention))

    async def close(self) -> None:
        """Take no more events and wait for the handlers that run."""
        if self._subscription is not None:
            await self._subscription.close()
        if self._pruning is not None:
            self._pruning.cancel()
            with suppress(asyncio.CancelledError):
                await self._pruning

    async def _handle(self, event: Event) -> None:
        try:
            async with asyncio.timeout(self._handler_timeout.total_seconds()), self._db.transaction() as tx:
                if await tx.fetchval(_REMEMBER, self._queue, event.id):
                    await self._handler(tx, event)
        except DatabaseUnavailableError:
            await self._until_the_database_answers()
            raise

    async def _until_the_database_answers(self) -> None:
        failures = 0
        while True:
            try:
                await self._db.ping()
            except DatabaseUnavailableError:
                await asyncio.sleep(backoff_seconds(failures, cap=5))
                failures += 1
            else:
                return
