"""One request to a service and its answer, both as streams.

Nothing waits without a limit but an event stream for its next event. An answer that breaks off is never ended as if it
were complete: its connection is aborted.
"""

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import NoReturn

import aiohttp
import structlog
from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway.bodies import SMALL_BYTES, StreamedBody, body_of
from gateway.errors import SlowRequestError
from gateway.exchange import EXCHANGE
from gateway.headers import to_client
from gateway.streams import OpenStreams
from gateway.upstreams import Upstream
from shared.errors import ApiError, BadGatewayError, GatewayTimeoutError

log = structlog.get_logger(__name__)

_RESET_AT_CLOSE = struct.pack("ii", 1, 0)
EVENT_STREAM = "text/event-stream"
_BODILESS = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})


class Forward:
    """Runs once. `answer_seconds` limits each wait for the service, `idle_seconds` each pause in a body."""

    def __init__(
        self,
        request: web.Request,
        upstream: Upstream,
        headers: CIMultiDict[str],
        *,
        answer_seconds: float,
        idle_seconds: float,
        max_body_bytes: int,
        streams: OpenStreams,
    ) -> None:
        self._request = request
        self._upstream = upstream
        self._headers = headers
        self._answer_seconds = answer_seconds
        self._idle_seconds = idle_seconds
        self._max_body_bytes = max_body_bytes
        self._streams = streams
        self._deadline = asyncio.timeout(None)
        self._body: bytes | StreamedBody | None = None
        self._is_answering = False

    async def run(self) -> web.StreamResponse:
        """Forward the request and pass the answer on.

        Raises:
            ApiError: there is no answer to pass on.
            ConnectionResetError: the answer broke off halfway, and so was the client's connection.
        """
        try:
            async with self._deadline:
                return await self._forward()
        except (TimeoutError, aiohttp.ClientError, BadGatewayError) as error:
            if self._is_answering:
                self._abort(error)
            raise self._translated(error) from error

    def _wait_at_most(self, seconds: float | None) -> None:
        if not self._deadline.expired():
            self._deadline.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    def _wait_on(self) -> None:
        is_sent = not isinstance(self._body, StreamedBody) or self._body.is_complete
        self._wait_at_most(self._answer_seconds if is_sent else self._idle_seconds)

    async def _forward(self) -> web.StreamResponse:
        self._body = await body_of(self._request, self._max_body_bytes, self._idle_seconds, on_progress=self._wait_on)
        if isinstance(self._body, StreamedBody) and self._request.content_length is not None:
            self._headers[hdrs.CONTENT_LENGTH] = str(self._request.content_length)
        self._wait_on()
        request = self._request
        async with await self._upstream.send(
            request.method, request[EXCHANGE].target, self._headers, self._body, is_late=self._deadline.expired
        ) as answer:
            if self._is_small(answer):
                return web.Response(
                    body=await answer.read(),
                    status=answer.status,
                    reason=answer.reason,
                    headers=to_client(answer.headers),
                )
            return await self._stream(answer)

    def _is_small(self, answer: aiohttp.ClientResponse) -> bool:
        """Is it one write, and so either whole or an error?"""
        length = answer.content_length
        is_bodiless = self._request.method == hdrs.METH_HEAD or answer.status in _BODILESS
        return is_bodiless or (length is not None and length <= SMALL_BYTES)

    async def _stream(self, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=to_client(answer.headers))
        self._is_answering = True
        await response.prepare(self._request)
        if answer.content_type == EVENT_STREAM:
            await self._stream_events(answer, response)
        else:
            async for chunk in answer.content.iter_any():
                self._wait_at_most(self._idle_seconds)
                await response.write(chunk)
        await response.write_eof()
        return response

    async def _stream_events(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        is_ended = False

        async def end() -> None:
            nonlocal is_ended
            is_ended = True
            answer.close()

        self._wait_at_most(None)
        try:
            exchange = self._request[EXCHANGE]
            with self._streams.opened(end, exchange.credential, exchange.expires_at):
                async for chunk in answer.content.iter_any():
                    self._wait_at_most(self._idle_seconds)
                    await response.write(chunk)
                    self._wait_at_most(None)
        except aiohttp.ClientError:
            if not (is_ended or self._streams.is_draining):
                raise

    def _abort(self, error: Exception) -> NoReturn:
        transport = self._request.transport
        if transport is not None and not transport.is_closing():
            self._request[EXCHANGE].status = HTTPStatus.BAD_GATEWAY
            log.warning("answer_broke_off", upstream=self._upstream.name, cause=repr(error))
            # With a reset instead of a FIN, which a client of HTTP/1.0 would take for the end of the answer.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            transport.abort()
        raise ConnectionResetError("The answer broke off.") from error

    def _translated(self, error: Exception) -> ApiError:
        if isinstance(self._body, StreamedBody) and not self._body.is_complete:
            if self._body.failure is not None:
                return self._body.failure
            if isinstance(error, TimeoutError):
                return SlowRequestError()
        if isinstance(error, TimeoutError):
            return GatewayTimeoutError()
        return error if isinstance(error, BadGatewayError) else BadGatewayError()
