"""Places for work that is dear: few at a time, one of each owner, a bounded queue in front of them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoPlaceError(Exception):
    """The queue is full, the owner's part of it is, or no place became free in time."""


class FairPlaces:
    """At most `at_once` work, and each for another owner, so that nobody has all places; the others wait.

    A free place goes to the owner who was served least recently. In all `waiting` wait, `of_one` of one owner, each
    for at most `patience_seconds`.
    """

    def __init__(self, at_once: int, *, waiting: int, of_one: int, patience_seconds: float) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._of_one = of_one
        self._patience_seconds = patience_seconds
        self._at_work: set[str] = set()
        # Whom it is the turn of comes first.
        self._queues: dict[str, deque[asyncio.Future[None]]] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._queues.values()))

    @asynccontextmanager
    async def place(self, owner: str) -> AsyncIterator[None]:
        """A place while the block runs.

        Raises:
            NoPlaceError
        """
        await self._wait(owner)
        try:
            yield
        finally:
            self._at_work.discard(owner)
            self._hand_out()

    async def _wait(self, owner: str) -> None:
        is_free = owner not in self._at_work and len(self._at_work) < self._at_once
        if not is_free and (self.waiting >= self._waiting or len(self._queues.get(owner, ())) >= self._of_one):
            raise NoPlaceError
        turn = asyncio.get_running_loop().create_future()
        self._queues.setdefault(owner, deque()).append(turn)
        self._hand_out()
        try:
            async with asyncio.timeout(self._patience_seconds):
                await asyncio.shield(turn)  # one who goes away must not end what may be given in the same moment
        except (TimeoutError, asyncio.CancelledError) as error:
            self._give_up(owner, turn)
            if isinstance(error, TimeoutError):
                raise NoPlaceError from None
            raise

    def _give_up(self, owner: str, turn: "asyncio.Future[None]") -> None:
        if turn.done():
            self._at_work.discard(owner)
            self._hand_out()
            return
        queue = self._queues[owner]
        queue.remove(turn)
        if not queue:
            del self._queues[owner]

    def _hand_out(self) -> None:
        for owner in tuple(self._queues):
            if len(self._at_work) >= self._at_once:
                return
            if owner in self._at_work:
                continue
            queue = self._queues.pop(owner)
            self._at_work.add(owner)
            queue.popleft().set_result(None)
            if queue:
                self._queues[owner] = queue
