"""Hands new events to the streams of this process. Each process reads the feed once, whatever its number of streams."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager

from call_service.events import repository
from call_service.events.repository import Numbered, Selection
from shared.db import Database
from shared.notifications import Repeater

BUFFER = 2000
_PAGE = 500
_NUMBER_BATCH = 1000


class Live:
    """What one stream has not taken yet of the events since it subscribed; at most `BUFFER` of them."""

    def __init__(self, selection: Selection) -> None:
        self.selection = selection
        self.has_begun = False
        self.has_overflowed = False
        self._waiting: deque[Numbered] = deque()
        self._changed = asyncio.Event()

    def begin(self) -> None:
        """What happens from now on is offered."""
        if not self.has_begun:
            self.has_begun = True
            self.nudge()

    def offer(self, item: Numbered) -> None:
        """Without waiting: a stream that is behind by a whole buffer is told so instead."""
        if not self.selection.has(item.event):
            return
        if len(self._waiting) < BUFFER:
            self._waiting.append(item)
        else:
            self.has_overflowed = True
        self.nudge()

    def restart(self) -> None:
        """Forget what waits: the stream reads it from the database."""
        self._waiting.clear()
        self.has_overflowed = False

    def take(self) -> Numbered | None:
        """The next event, None when there is none yet."""
        return self._waiting.popleft() if self._waiting else None

    def nudge(self) -> None:
        """Let the stream look again."""
        self._changed.set()

    async def change(self, seconds: float) -> bool:
        """Wait until there is something to look at; False when there was nothing for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Hub:
    """Numbers new events and delivers them, woken by NOTIFY."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._position: int | None = None
        self._streams: set[Live] = set()
        self._numbering = Repeater(db, f"{db.schema}_outbox", self._number)
        self._delivering = Repeater(db, f"{db.schema}_feed", self._deliver)
        self.is_closing = False

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._numbering.run())
            group.create_task(self._delivering.run())

    async def close(self) -> None:
        """Let all streams end."""
        self.is_closing = True
        for live in self._streams:
            live.nudge()

    @contextmanager
    def subscribed(self, selection: Selection) -> Iterator[Live]:
        """Inside the block, events from the moment that it has begun are offered; earlier ones are in the database."""
        live = Live(selection)
        self._streams.add(live)
        self._delivering.wake()
        try:
            yield live
        finally:
            self._streams.discard(live)

    async def _number(self) -> None:
        while await repository.number(self._db, _NUMBER_BATCH) == _NUMBER_BATCH:
            pass

    async def _deliver(self) -> None:
        head = await repository.head(self._db)
        streams: defaultdict[str, list[Live]] = defaultdict(list)
        for live in self._streams:
            streams[live.selection.tenant].append(live)
            live.begin()
        position = head if self._position is None or not streams else self._position
        while position < head:
            found = await repository.of_tenants(self._db, streams.keys(), position, head, _PAGE)
            for item in found:
                for live in streams[item.event.tenant]:
                    live.offer(item)
            position = self._position = found[-1].number if len(found) == _PAGE else head
        self._position = head
