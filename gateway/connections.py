"""Clients' connections: what is no HTTP gets our error envelope, and the head of a request has to come in time."""

import asyncio
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from gateway.edge import Edge
from gateway.errors import HeadTooLargeError, MalformedRequestError, SlowRequestError
from shared.errors import ApiError, InternalError

_TOO_MANY = "Too many headers received"
EDGE = web.AppKey("edge", Edge)
HEAD_SECONDS = web.AppKey("head_seconds", float)


class Connection(web.RequestHandler):
    """One client. aiohttp itself waits for a head as long as it keeps an idle connection."""

    __slots__ = ("_answered", "_edge", "_head_seconds", "_head_timer")

    def __init__(self, server: web.Server, *, edge: Edge, head_seconds: float, **options: Any) -> None:
        super().__init__(server, **options)
        self._edge = edge
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None
        self._answered = 0

    def data_received(self, data: bytes) -> None:
        """Part of a request, or several."""
        super().data_received(data)
        self._blame_body()
        if self._request_count > self._answered:
            self._cancel_head_timer()
        elif self._head_timer is None:
            self._head_timer = self._loop.call_later(self._head_seconds, self._head_is_late)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._cancel_head_timer()
        super().connection_lost(exc)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """The handler is done with one request."""
        self._answered += 1
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,  # noqa: ARG002 - aiohttp's signature
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - as above
    ) -> web.StreamResponse:
        """The answer to what could not be parsed."""
        assert isinstance(request, web.Request)
        return self._edge.refuse(request, _error(exc))

    def _blame_body(self) -> None:
        """What breaks HTTP in the midst of a body is that request's fault; its reader would wait for the rest."""
        request = self._current_request
        if request is None or request.content.is_eof():
            return
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._messages.pop()
            self._request_count -= 1
            self.close()
            request.content.set_exception(MalformedRequestError())

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._request_count == self._answered and self._waiter is not None and not self._waiter.done():
            self._request_count += 1
            self._messages.append((_ErrInfo(HTTPStatus.REQUEST_TIMEOUT, SlowRequestError(), ""), EMPTY_PAYLOAD))
            self._waiter.set_result(None)

    def _cancel_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _error(cause: BaseException | None) -> ApiError:
    if isinstance(cause, ApiError):
        return cause
    if isinstance(cause, LineTooLong) or getattr(cause, "message", "") == _TOO_MANY:
        return HeadTooLargeError()
    return MalformedRequestError() if isinstance(cause, HttpProcessingError) else InternalError()


class _Server(web.Server):
    def __init__(self, app: web.Application, made: web.Server, **options: Any) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory, **options)
        self._app = app

    def __call__(self) -> Connection:
        return Connection(
            self, edge=self._app[EDGE], head_seconds=self._app[HEAD_SECONDS], loop=self._loop, **self._kwargs
        )


class Runner(web.AppRunner):
    """Runs the gateway's application with connections of the kind above; aiohttp has no other place to say so."""

    async def _make_server(self) -> web.Server:
        return _Server(self.app, await super()._make_server(), **self._kwargs)
