"""What is known of one request, for its log line and its metrics; and what every answer gets."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from gateway.access_log import AccessLog
from gateway.cors import Cors
from gateway.limits import Standing, fields
from shared.http import render_errors
from shared.request_ids import REQUEST_ID, request_id
from shared.metrics import HTTP_REQUESTS, HTTP_SECONDS
from shared.tokens import Principal

CLIENT_GONE = 499  # as nginx logs it


@dataclass(slots=True)
class Exchange:
    """One request and its answer. `pattern` is the route's, such as `/call/{id}`."""

    client_ip: str = ""
    pattern: str | None = None
    upstream: str | None = None
    principal: Principal | None = None
    status: int = CLIENT_GONE
    standings: list[Standing] = field(default_factory=list)


EXCHANGE = web.RequestKey("exchange", Exchange)
OnPrepare = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def new_middleware(cors: Cors, access_log: AccessLog) -> Middleware:
    """Answers preflights, renders errors, counts, measures and logs."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        exchange = request[EXCHANGE] = Exchange()
        structlog.contextvars.bind_contextvars(request_id=request_id(request))
        try:
            response = cors.preflight(request) or await render_errors(request, handler)
            exchange.status = response.status
            return response
        finally:
            _record(request, exchange, time.perf_counter() - started, access_log)

    return middleware


def _record(request: web.Request, exchange: Exchange, seconds: float, access_log: AccessLog) -> None:
    resource = request.match_info.route.resource
    pattern = exchange.pattern or (resource.canonical if resource else "unmatched")
    HTTP_REQUESTS.labels(request.method, pattern, exchange.status).inc()
    HTTP_SECONDS.labels(request.method, pattern).observe(seconds)
    principal = exchange.principal
    access_log.write(
        request_id=request_id(request),
        method=request.method,
        route=pattern,
        status=exchange.status,
        duration_ms=round(seconds * 1000, 2),
        upstream=exchange.upstream,
        tenant=principal.tenant if principal else None,
        credential=principal.credential if principal else None,
    )


def new_decorator(cors: Cors) -> OnPrepare:
    """Puts on every answer, streamed ones included, what the gateway adds."""

    async def decorate(request: web.Request, response: web.StreamResponse) -> None:
        response.headers[REQUEST_ID] = request_id(request)
        response.headers[hdrs.SERVER] = "talkstack"
        cors.decorate(request, response.headers)

    return decorate
