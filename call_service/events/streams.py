"""Events as they come, as Server-Sent Events (https://html.spec.whatwg.org/multipage/server-sent-events.html), or text.

Both carry the same frames: an id to resume behind, the event's type, the event.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import aclosing, contextmanager, suppress
from typing import NamedTuple

import orjson
import structlog
from aiohttp import WSCloseCode, web
from prometheus_client import Counter, Gauge

from call_service.events.errors import TooManyStreamsError, WebSocketRequiredError
from call_service.events.service import Events, Source, StreamClosedError
from shared.background import running
from shared.db import DatabaseUnavailableError

log = structlog.get_logger(__name__)

MAX_STREAMS = 10_000
WRITE_TIMEOUT_SECONDS = 30.0
HEARTBEAT_SECONDS = 20.0
CLOSED = "stream.closed"
_KEEP_ALIVE = b": keep-alive\n\n"

OPEN_STREAMS = Gauge("talkstack_event_streams", "Event streams that are open now.", ["kind"])
CLOSED_STREAMS = Counter("talkstack_event_streams_closed", "Event streams that ended before their time.", ["reason"])


class Frame(NamedTuple):
    """One event of a stream. The one that says why the stream ends has no id, so that the client's stays.

    `close_code`: of a WebSocket that ends behind it.
    """

    id: str | None
    type: str
    data: bytes
    close_code: WSCloseCode = WSCloseCode.OK

    def as_sse(self) -> bytes:
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.type}\ndata: ".encode() + self.data + b"\n\n"

    def as_message(self) -> str:
        return orjson.dumps({"id": self.id, "event": self.type, "data": orjson.Fragment(self.data)}).decode()


class EventStreams:
    """Serves the streams of this process. A client that takes nothing for 30 s is cut off."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self.open_streams = 0

    async def sse(self, request: web.Request, source: Source, after: int) -> web.StreamResponse:
        """Answer with Server-Sent Events.

        Raises:
            TooManyStreamsError: before the answer has begun.
        """
        with self._counted("sse"):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
            await response.prepare(request)
            with suppress(ConnectionError):  # the client has gone, as clients of endless answers do
                async with aclosing(self._frames(source, after)) as frames:
                    async for frame in frames:
                        await _taken(request, response.write(frame.as_sse() if frame else _KEEP_ALIVE))
            return response

    async def websocket(self, request: web.Request, source: Source, after: int) -> web.StreamResponse:
        """Answer with a WebSocket of text messages; what the client says is not listened to.

        Raises:
            WebSocketRequiredError, TooManyStreamsError: before the answer has begun.
        """
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, compress=False, max_msg_size=4096)
        if not socket.can_prepare(request).ok:
            raise WebSocketRequiredError
        with self._counted("websocket"):
            await socket.prepare(request)
            async with running(self._send(request, socket, source, after), "event socket"):
                async for _message in socket:
                    pass
        return socket

    async def _send(self, request: web.Request, socket: web.WebSocketResponse, source: Source, after: int) -> None:
        code = WSCloseCode.OK
        with suppress(ConnectionError):
            async with aclosing(self._frames(source, after)) as frames:
                async for frame in frames:
                    if frame is not None:
                        await _taken(request, socket.send_str(frame.as_message()))
                        code = frame.close_code
            await socket.close(code=code)

    async def _frames(self, source: Source, after: int) -> AsyncGenerator[Frame | None]:
        try:
            async with aclosing(self._events.follow(source, after)) as items:
                async for item in items:
                    yield Frame(source.id_of(item), item.event.type, item.body) if item else None
        except StreamClosedError as error:
            yield _closed(error.reason)
        except DatabaseUnavailableError:
            yield _closed("database_unavailable")
        except Exception:
            log.exception("event stream failed")
            yield _closed("internal_error", WSCloseCode.INTERNAL_ERROR)

    @contextmanager
    def _counted(self, kind: str) -> Iterator[None]:
        if self.open_streams >= MAX_STREAMS:
            raise TooManyStreamsError
        self.open_streams += 1
        with OPEN_STREAMS.labels(kind).track_inprogress():
            try:
                yield
            finally:
                self.open_streams -= 1


def _closed(reason: str, close_code: WSCloseCode = WSCloseCode.TRY_AGAIN_LATER) -> Frame:
    CLOSED_STREAMS.labels(reason).inc()
    return Frame(None, CLOSED, orjson.dumps({"type": CLOSED, "reason": reason}), close_code)


async def _taken(request: web.Request, writing: Awaitable[None]) -> None:
    """Raises ConnectionResetError when the client does not read."""
    try:
        await asyncio.wait_for(writing, WRITE_TIMEOUT_SECONDS)
    except TimeoutError as error:
        CLOSED_STREAMS.labels("not_reading").inc()
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("The client does not read.") from error
