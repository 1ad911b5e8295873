"""Answers without an end, which have to be ended when the process drains, and when their credentials are over."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from cachetools import TTLCache

End = Callable[[], Awaitable[None]]

# Longer than from the making of a stream token (it lives 60 s), or the check of a credential, until its stream is open.
OVER_SECONDS = 120
_OVER = 100_000


class OpenStreams:
    """The event streams and WebSockets that are open now. Their clients reconnect to another process."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ends: dict[End, str | None] = {}
        self._over: TTLCache[str, None] = TTLCache(_OVER, OVER_SECONDS, monotonic)
        self._ending: set[asyncio.Future[None]] = set()
        self.is_draining = False

    @contextmanager
    def opened(self, end: End, credential: str | None, expires_at: datetime | None = None) -> Iterator[None]:
        """Inside the block a stream is open, which `end` ends; `credential` and `expires_at` as in `Exchange`.

        The credential may be over since it was verified, while the service was asked, and the process may have begun to
        drain: then the stream ends at once.
        """
        with ExitStack() as stack:
            self._ends[end] = credential
            stack.callback(self._ends.pop, end)
            if self.is_draining or self.is_over(credential):
                self._start(end)
            if expires_at is not None:
                seconds = (expires_at - datetime.now(UTC)).total_seconds()
                timer = asyncio.get_running_loop().call_later(seconds, self._start, end)
                stack.callback(timer.cancel)
            yield

    def end_of(self, credential: str) -> None:
        """End the streams of a credential that is over, without waiting: a client may take its time to say goodbye."""
        self._over[credential] = None
        for end in [end for end, opener in self._ends.items() if opener == credential]:
            self._start(end)

    def is_over(self, credential: str | None) -> bool:
        """Did `end_of` hear of this credential in the last two minutes?"""
        return credential in self._over

    async def end_all(self) -> None:
        """End every stream that is open now."""
        self.is_draining = True
        await asyncio.gather(*(end() for end in self._ends))

    def _start(self, end: End) -> None:
        ending = asyncio.ensure_future(end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
