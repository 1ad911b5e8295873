"""Reading events: as pages of the feed, and as endless sequences that go on where a cursor was."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from call_service.events import repository
from call_service.events.errors import EventsExpiredError
from call_service.events.hub import Hub, Live
from call_service.events.repository import Numbered, Selection
from shared import outbox
from shared.clock import Clock
from shared.db import Database
from shared.pagination import Cursors, InvalidCursorError

KEEP_ALIVE_SECONDS = 15.0
_PAGE = 100
# A cursor expires before the relay deletes what is behind it.
_VALID_FOR = outbox.RETENTION - timedelta(hours=1)


class StreamClosedError(Exception):
    """The stream ends before its time; its client can resume."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Source:
    """What a stream reads. `read(after)` gives the next stored events, none when there are none yet."""

    selection: Selection
    read: Callable[[int], Awaitable[list[Numbered]]]
    position_of: Callable[[Numbered], int]
    id_of: Callable[[Numbered], str]
    last_type: str | None = None

    def is_last(self, item: Numbered | None) -> bool:
        return item is not None and item.event.type == self.last_type


@dataclass(frozen=True, slots=True)
class Events:
    """The use cases about events."""

    db: Database
    hub: Hub
    cursors: Cursors
    clock: Clock

    def of_call(self, tenant: str, call_id: str) -> Source:
        """The events of one call by their sequence; `call.completed` is the last."""

        async def read(after: int) -> list[Numbered]:
            return [Numbered(0, event) for event in await outbox.events_after(self.db, call_id, after, _PAGE)]

        return Source(
            Selection(tenant, subject=call_id),
            read,
            position_of=lambda item: item.event.sequence,
            id_of=lambda item: str(item.event.sequence),
            last_type="call.completed",
        )

    async def is_over(self, call_id: str, after: int) -> bool:
        """Whether no event of a completed call is left behind `after`.

        Raises:
            EventsExpiredError: there were some, and they are deleted.
        """
        if after >= await outbox.last_sequence(self.db, call_id):
            return True
        if not await outbox.events_after(self.db, call_id, after, 1):
            raise EventsExpiredError("The events of this call are no longer kept; GET /call/{call_id} shows it.")
        return False

    def of_tenant(self, selection: Selection) -> Source:
        """The selected events by their number in the feed."""

        async def read(after: int) -> list[Numbered]:
            return await repository.selected(self.db, selection, after, await repository.head(self.db), _PAGE)

        return Source(selection, read, position_of=lambda item: item.number, id_of=self._cursor_of)

    async def page(self, selection: Selection, cursor: str | None, limit: int) -> tuple[list[Numbered], str]:
        """Up to `limit` events behind the cursor, else from the oldest kept, and the cursor that goes on from there."""
        after = self._position(cursor) if cursor else 0
        asked_at = self.clock.now()
        head = await repository.head(self.db)
        found = await repository.selected(self.db, selection, after, head, limit)
        return found, self._cursor_of(found[-1]) if len(found) == limit else self._cursor(head, asked_at)

    async def start(self, cursor: str | None) -> int:
        """Where a stream begins: behind its cursor, else with what comes from now on.

        Raises:
            InvalidCursorError: it is not one of ours.
            EventsExpiredError: what was behind it may be deleted.
        """
        return self._position(cursor) if cursor else await repository.head(self.db)

    async def follow(self, source: Source, after: int) -> AsyncGenerator[Numbered | None]:
        """What is behind `after`, as it comes; None where a keep-alive is due.

        Raises:
            StreamClosedError: this process stops, or the client is behind by more than is kept for it.
        """
        with self.hub.subscribed(source.selection) as live:
            async for item in self._items(source, live, after):
                yield item
                if source.is_last(item):
                    return
        raise StreamClosedError("slow_consumer" if live.has_overflowed else "shutdown")

    async def _items(self, source: Source, live: Live, position: int) -> AsyncGenerator[Numbered | None]:
        """First what is stored, at the client's own pace; then what is offered."""
        while not (live.has_begun or self.hub.is_closing):
            if not await live.change(KEEP_ALIVE_SECONDS):
                yield None
        while not self.hub.is_closing:
            live.restart()
            stored = await source.read(position)
            for item in stored:
                yield item
                position = source.position_of(item)
            if not stored:
                break
        while not (live.has_overflowed or self.hub.is_closing):
            offered = live.take()
            if offered is None:
                if not await live.change(KEEP_ALIVE_SECONDS):
                    yield None
            elif source.position_of(offered) > position:
                yield offered
                position = source.position_of(offered)

    def _cursor_of(self, item: Numbered) -> str:
        return self._cursor(item.number, item.event.time)

    def _cursor(self, number: int, time: datetime) -> str:
        return self.cursors.encode([str(number), str(int(time.timestamp()))])

    def _position(self, cursor: str) -> int:
        position = self.cursors.decode(cursor)
        if len(position) != 2:
            raise InvalidCursorError
        number, seconds = map(int, position)
        if self.clock.now() - datetime.fromtimestamp(seconds, UTC) > _VALID_FOR:
            raise EventsExpiredError
        return number
