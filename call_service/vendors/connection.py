"""HTTP and WebSockets to one vendor: time-outs for each phase, bounded sizes, typed errors.

Whoever stops reading, or is cancelled, closes the socket: a vendor goes on charging for what it still sends.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
import orjson

from call_service.vendors.errors import (
    VendorError,
    VendorProtocolError,
    VendorTimeoutError,
    VendorUnreachableError,
    error_of_status,
)
from call_service.vendors.usage import Meter
from shared.providers import at

T = TypeVar("T")
WebSocket = aiohttp.ClientWebSocketResponse[bool]

_ERROR_BODY_BYTES = 8_192
_MESSAGE_BYTES = 1_000_000
_CLOSING = aiohttp.ClientWSTimeout(ws_close=1.0)
_TEXTS = ("text/", "application/json", "application/xml")


@dataclass(frozen=True, slots=True)
class Limits:
    """`first_byte` counts from the request, the connection included; `max_bytes` of one answer: 8 kHz PCM of 8 min."""

    connect: timedelta = timedelta(seconds=2)
    first_byte: timedelta = timedelta(seconds=4)
    total: timedelta = timedelta(seconds=12)
    max_bytes: int = 8_000_000


@dataclass(frozen=True, slots=True, repr=False)  # the headers hold the key
class Connection:
    """One vendor's API below `base_url`, with the key of one customer."""

    session: aiohttp.ClientSession
    base_url: str
    headers: Mapping[str, str]
    meter: Meter
    limits: Limits = Limits()

    async def stream(self, path: str, *, is_audio: bool = False, **request: Any) -> AsyncGenerator[bytes]:
        """POST, and the body of the answer as it comes; `request` as aiohttp takes it. Close the generator.

        Raises:
            VendorError: see the subclasses.
        """
        with self._reporting():
            started = _now()
            first = started + self.limits.first_byte.total_seconds()
            deadline = started + self.limits.total.total_seconds()
            response = await self._within(first, self._post(path, **request))
            try:
                if is_audio and response.content_type.startswith(_TEXTS):
                    raise VendorProtocolError(self.meter.stage, response.content_type)
                async for chunk in self._chunks(response, first, deadline):
                    yield chunk
            finally:
                response.close()

    def audio(self, path: str, **request: Any) -> AsyncGenerator[bytes]:
        """As `stream`, of an answer that has to be audio: an explanation in JSON would sound like noise."""
        return self.stream(path, is_audio=True, **request)

    async def fetch(self, path: str, **request: Any) -> bytes:
        """POST, and the whole body of the answer. Raises VendorError."""
        return b"".join([chunk async for chunk in self.stream(path, **request)])

    @asynccontextmanager
    async def websocket(self, path: str, *, heartbeat: timedelta | None = None) -> AsyncIterator[WebSocket]:
        """An open WebSocket. Raises VendorError, also for what goes wrong inside the block.

        With a `heartbeat` the other side is pinged after so much silence, and has half of it to answer.
        """
        with self._reporting():
            opening = self.session.ws_connect(
                at(self.base_url, path),
                headers=self.headers,
                max_msg_size=_MESSAGE_BYTES,
                timeout=_CLOSING,
                heartbeat=heartbeat.total_seconds() if heartbeat else None,
            )
            socket = await self._within(_now() + self.limits.first_byte.total_seconds(), opening)
            try:
                yield socket
            finally:
                await socket.close()

    async def _post(self, path: str, **request: Any) -> aiohttp.ClientResponse:
        response = await self.session.post(
            at(self.base_url, path), headers=self.headers, allow_redirects=False, timeout=self._timeout, **request
        )
        if response.status >= 300:
            async with response:
                raise error_of_status(self.meter.stage, response.status, response.headers, await _json_of(response))
        return response

    async def _chunks(
        self, response: aiohttp.ClientResponse, first_byte: float, deadline: float
    ) -> AsyncGenerator[bytes]:
        received, until = 0, first_byte
        while chunk := await self._within(min(until, deadline), response.content.readany()):
            if not received:
                self.meter.first_byte(_now() - first_byte + self.limits.first_byte.total_seconds())
            received, until = received + len(chunk), deadline
            if received > self.limits.max_bytes:
                raise VendorProtocolError(self.meter.stage, "too large")
            yield chunk

    @property
    def _timeout(self) -> aiohttp.ClientTimeout:
        return aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect.total_seconds())

    async def _within(self, deadline: float, work: Awaitable[T]) -> T:
        async with asyncio.timeout_at(deadline):
            return await work

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        stage = self.meter.stage
        try:
            with _as_vendor_errors(stage):
                yield
        except VendorError as error:
            self.meter.failed(error)
            raise


@contextmanager
def _as_vendor_errors(stage: Any) -> Iterator[None]:
    try:
        yield
    except aiohttp.WSServerHandshakeError as error:
        raise error_of_status(stage, error.status, error.headers or {}, None) from error
    except TimeoutError as error:
        raise VendorTimeoutError(stage) from error
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, OSError) as error:
        raise VendorUnreachableError(stage, type(error).__name__) from error
    except aiohttp.ClientResponseError as error:
        raise VendorProtocolError(stage, type(error).__name__) from error
    except aiohttp.ClientError as error:
        raise VendorUnreachableError(stage, type(error).__name__) from error


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _json_of(response: aiohttp.ClientResponse) -> Any:
    try:
        return orjson.loads(await response.content.read(_ERROR_BODY_BYTES))
    except orjson.JSONDecodeError:
        return None
