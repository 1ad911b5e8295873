"""Live events of one call as Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from shared import outbox
from shared.db import Database
from shared.errors import UnavailableError
from shared.events import Event

LAST_EVENT = "call.completed"
MAX_STREAMS = 10_000
POLL_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
WRITE_TIMEOUT_SECONDS = 30.0
_PAGE = 100


class TooManyStreamsError(UnavailableError):
    """This process streams to as many clients as it takes; try again."""

    code = "too_many_streams"


class EventStreams:
    """Wakes every open stream when the outbox grows; one database listener serves them all."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._grown = asyncio.Event()
        self._open = 0
        self.is_closing = False

    async def run(self) -> None:
        """Until cancelled."""
        await self._db.listen(f"{self._db.schema}_outbox", lambda _payload: self._wake(), self._wake)

    async def close(self) -> None:
        """End all streams; their clients resume elsewhere with `Last-Event-ID`."""
        self.is_closing = True
        self._wake()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    async def events(self, subject: str, after: int) -> AsyncIterator[Event | None]:
        """Events past `after` as they come, up to the last of a call; None where a keep-alive is due."""
        waited = 0.0
        while not self.is_closing:
            grown = self._grown
            found = await outbox.events_after(self._db, subject, after, _PAGE)
            for event in found:
                yield event
                after = event.sequence
                if event.type == LAST_EVENT:
                    return
            if found:
                waited = 0.0
                continue
            try:
                await asyncio.wait_for(grown.wait(), POLL_SECONDS)
            except TimeoutError:
                waited += POLL_SECONDS
            if waited >= KEEP_ALIVE_SECONDS:
                waited = 0.0
                yield None

    async def serve(self, request: web.Request, subject: str, after: int) -> web.StreamResponse:
        """Answer a request with the stream. A client that does not read for 30 s is cut off.

        Raises:
            TooManyStreamsError: before the answer has begun.
        """
        if self._open >= MAX_STREAMS:
            raise TooManyStreamsError
        self._open += 1
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            async for event in self.events(subject, after):
                await asyncio.wait_for(response.write(frame(event)), WRITE_TIMEOUT_SECONDS)
            return response
        finally:
            self._open -= 1


def frame(event: Event | None) -> bytes:
    """One event as SSE (`id` is its sequence), or a comment that keeps the connection open."""
    if event is None:
        return b": keep-alive\n\n"
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.sequence, event.type.encode(), event.to_bytes())
