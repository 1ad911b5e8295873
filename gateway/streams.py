"""Answers without an end, which have to be ended when the process drains, and when their credentials are over."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

End = Callable[[], Awaitable[None]]


class OpenStreams:
    """The event streams and WebSockets that are open now. Their clients reconnect to another process."""

    def __init__(self) -> None:
        self._ends: dict[End, str | None] = {}
        self._ending: set[asyncio.Future[None]] = set()
        self.is_draining = False

    @contextmanager
    def opened(self, end: End, credential: str | None) -> Iterator[None]:
        """Inside the block a stream is open, which `end` ends; `credential` as in `Exchange`."""
        self._ends[end] = credential
        try:
            yield
        finally:
            del self._ends[end]

    def end_of(self, credential: str) -> None:
        """End the streams of a credential that is over, without waiting: a client may take its time to say goodbye."""
        for end in [end for end, opener in self._ends.items() if opener == credential]:
            ending = asyncio.ensure_future(end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def end_all(self) -> None:
        """End every stream that is open now."""
        self.is_draining = True
        await asyncio.gather(*(end() for end in self._ends))
