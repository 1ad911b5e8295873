"""Answers without an end, which have to be ended when the process drains."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

End = Callable[[], Awaitable[None]]


class OpenStreams:
    """The event streams and WebSockets that are open now. Their clients reconnect to another process."""

    def __init__(self) -> None:
        self._ends: set[End] = set()
        self.is_draining = False

    @contextmanager
    def opened(self, end: End) -> Iterator[None]:
        """Inside the block a stream is open, which `end` ends."""
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)

    async def end_all(self) -> None:
        """End every stream that is open now."""
        self.is_draining = True
        await asyncio.gather(*(end() for end in self._ends))
