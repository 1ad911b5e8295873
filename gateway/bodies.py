"""The body of a request on its way to a service: read whole when small, else streamed; never more than allowed."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from gateway.errors import SlowRequestError
from shared.errors import ApiError, BodyTooLargeError

# Up to here a body is read whole: a slow client then holds no connection to a service.
SMALL_BYTES = 64 * 1024


class StreamedBody:
    """The chunks of a body as they arrive; the service that reads them sets the pace.

    `on_progress` is called after each and at the end. `failure` tells why it ended early, and `is_complete` that it did
    not: aiohttp's client hides what an iterator raises behind an error of its own.
    """

    def __init__(self, request: web.Request, max_bytes: int, on_progress: Callable[[], None]) -> None:
        self._content = request.content
        self._max_bytes = max_bytes
        self._on_progress = on_progress
        self.failure: ApiError | None = None
        self.is_complete = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        passed = 0
        try:
            async for chunk in self._content.iter_any():
                passed += len(chunk)
                if passed > self._max_bytes:
                    raise too_large(self._max_bytes)
                self._on_progress()
                yield chunk
        except ApiError as error:
            self.failure = error
            raise
        self.is_complete = True
        self._on_progress()


def too_large(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")


async def body_of(
    request: web.Request, max_bytes: int, idle_seconds: float, on_progress: Callable[[], None]
) -> bytes | StreamedBody | None:
    """The body in the form in which it is sent on.

    Raises:
        BodyTooLargeError: it announces more than `max_bytes`.
        MalformedRequestError: its chunks are no HTTP.
        SlowRequestError: a small one did not arrive within `idle_seconds`.
    """
    if not request.body_exists:
        return None
    length = request.content_length
    if length is not None and length > max_bytes:
        raise too_large(max_bytes)
    if length is None or length > SMALL_BYTES:
        return StreamedBody(request, max_bytes, on_progress)
    try:
        async with asyncio.timeout(idle_seconds):
            return await request.content.read()
    except TimeoutError as error:
        raise SlowRequestError from error
