"""What every request passes and every answer gets: limits, CORS, request id, errors, metrics and a line in the log."""

import time
from collections.abc import Sequence
from http import HTTPStatus

import structlog
from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler

from gateway.access_log import AccessLog
from gateway.cors import Cors
from gateway.errors import MalformedRequestError
from gateway.exchange import EXCHANGE, Exchange
from gateway.headers import Network, client_ip
from gateway.limits import fields, network_of
from gateway.throttle import ADDRESS, Throttle
from shared.envelope import error_response
from shared.errors import ApiError
from shared.health import HEALTH
from shared.http import render_errors
from shared.metrics import HTTP_REQUESTS, HTTP_SECONDS
from shared.request_ids import REQUEST_ID, request_id

# Asked by whoever watches the gateway, as often as they like.
_UNLIMITED = frozenset({"/health/live", "/health/ready"})


def _check_form(request: web.Request) -> None:
    """What aiohttp lets pass: HTTP/0.9, and a request for no host or for several (RFC 9112 §3.2)."""
    hosts = len(request.headers.getall(hdrs.HOST, ()))
    if request.version < HttpVersion10 or hosts > 1 or (request.version >= HttpVersion11 and not hosts):
        raise MalformedRequestError


class Edge:
    """The outermost layer."""

    def __init__(
        self, cors: Cors, access_log: AccessLog, throttle: Throttle, trusted_proxies: tuple[Network, ...]
    ) -> None:
        self._cors = cors
        self._access_log = access_log
        self._throttle = throttle
        self._trusted_proxies = trusted_proxies

    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request with what `handler` gives or raises."""
        started = time.perf_counter()
        forwarded_for = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        exchange = self._exchange(request, forwarded_for)

        async def limited(request: web.Request) -> web.StreamResponse:
            if request.path not in _UNLIMITED:
                self._throttle.take(exchange, ADDRESS, network_of(exchange.client_ip))
            _check_form(request)
            return self._cors.preflight(request) or await handler(request)

        structlog.contextvars.bind_contextvars(request_id=request_id(request))
        try:
            response = await render_errors(request, limited)
            exchange.status = response.status
            return response
        finally:
            resource = request.match_info.route.resource
            route = exchange.pattern or (resource.canonical if resource else "unmatched")
            self._record(request, route, time.perf_counter() - started)

    def refuse(self, request: web.Request, error: ApiError) -> web.Response:
        """The answer to what is no HTTP request; the connection ends with it."""
        exchange = self._exchange(request, ())
        try:
            self._throttle.take(exchange, ADDRESS, network_of(exchange.client_ip))
        except ApiError as limited:
            error = limited
        response = error_response(error, request_id(request))
        response.force_close()
        exchange.status = error.status
        self._decorate(request, response)
        self._record(request, "malformed", 0.0)
        return response

    def prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put on an answer, before its head is written, what the gateway adds."""
        self._decorate(request, response)
        if request.app[HEALTH].is_draining and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"  # aiohttp has already decided what to say

    def _exchange(self, request: web.Request, forwarded_for: Sequence[str]) -> Exchange:
        address = client_ip(request.remote or "", forwarded_for, self._trusted_proxies)
        exchange = request[EXCHANGE] = Exchange(address, request.raw_path)
        return exchange

    def _decorate(self, request: web.Request, response: web.StreamResponse) -> None:
        headers = response.headers
        headers[REQUEST_ID] = request_id(request)
        headers[hdrs.SERVER] = "talkstack"
        if standings := request[EXCHANGE].standings:
            headers.update(fields(standings))
        self._cors.decorate(request, headers)

    def _record(self, request: web.Request, route: str, seconds: float) -> None:
        exchange = request[EXCHANGE]
        HTTP_REQUESTS.labels(request.method, route, exchange.status).inc()
        HTTP_SECONDS.labels(request.method, route).observe(seconds)
        principal = exchange.principal
        self._access_log.write(
            request_id=request_id(request),
            method=request.method,
            route=route,
            status=exchange.status,
            duration_ms=round(seconds * 1000, 2),
            upstream=exchange.upstream,
            tenant=principal.tenant if principal else None,
            credential=principal.credential if principal else None,
        )
