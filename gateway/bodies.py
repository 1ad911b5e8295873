"""The body of a request on its way to a service: read whole when small, else streamed; never more than allowed."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from gateway.errors import SlowRequestError
from shared.errors import BodyTooLargeError

# Up to here a body is read whole: a slow client then holds no connection to a service.
SMALL_BYTES = 64 * 1024


class StreamedBody:
    """The chunks of a body as they arrive; the service that reads them sets the pace.

    `on_chunk` is called for each. `is_too_large` tells why it ended early, and `is_complete` that it did not:
    aiohttp's client hides what an iterator raises behind an error of its own.
    """

    def __init__(self, request: web.Request, max_bytes: int, on_chunk: Callable[[], None]) -> None:
        self._content = request.content
        self._max_bytes = max_bytes
        self._on_chunk = on_chunk
        self.is_too_large = False
        self.is_complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        passed = 0
        async for chunk in self._content.iter_any():
            passed += len(chunk)
            if passed > self._max_bytes:
                self.is_too_large = True
                raise BodyTooLargeError
            self._on_chunk()
            yield chunk
        self.is_complete = True


async def body_of(
    request: web.Request, max_bytes: int, idle_seconds: float, on_chunk: Callable[[], None]
) -> bytes | StreamedBody | None:
    """The body in the form in which it is sent on.

    Raises:
        BodyTooLargeError: it announces more than `max_bytes`.
        SlowRequestError: a small one did not arrive within `idle_seconds`.
    """
    if not request.body_exists:
        return None
    length = request.content_length
    if length is not None and length > max_bytes:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    if length is None or length > SMALL_BYTES:
        return StreamedBody(request, max_bytes, on_chunk)
    try:
        async with asyncio.timeout(idle_seconds):
            return await request.content.read()
    except TimeoutError as error:
        raise SlowRequestError from error
