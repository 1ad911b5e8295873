"""Composes the gateway's process."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.access_log import AccessLog
from gateway.connections import EDGE, HEAD_SECONDS, Runner
from gateway.cors import Cors
from gateway.edge import Edge
from gateway.limits import Limiter
from gateway.parts import PROXY, compose
from gateway.reference import REFERENCE, Reference
from gateway.settings import GatewaySettings
from gateway.throttle import Throttle
from shared import health
from shared.bus import EventBus
from shared.envelope import json_response
from shared.health import HEALTH, Health
from shared.http import DRAIN_HOOKS, RUNNER, SERVER_OPTIONS
from shared.metrics import metrics


async def _proxy(request: web.Request) -> web.StreamResponse:
    return await request.app[PROXY].handle(request)


async def _openapi(request: web.Request) -> web.Response:
    return json_response(request.app[PROXY].openapi.merged())


async def _asyncapi(request: web.Request) -> web.Response:
    return json_response(request.app[PROXY].asyncapi.merged())


async def _docs(request: web.Request) -> web.Response:
    proxy = request.app[PROXY]
    return request.app[REFERENCE].response(proxy.openapi.merged(), proxy.asyncapi.merged())


@web.middleware
async def _through_the_edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    return await request.app[EDGE].answer(request, handler)


async def _at_the_edge(request: web.Request, response: web.StreamResponse) -> None:
    request.app[EDGE].prepare(request, response)


async def _ignore_expectation(request: web.Request) -> None:
    """The client gets its `100 Continue`, if any, from us and its answer in any case (RFC 9110 §10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version == (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def build_app(
    settings: GatewaySettings, bus: EventBus | None = None, *, limiter: Limiter | None = None
) -> web.Application:
    """The gateway; without `bus` it hears of revocations from RabbitMQ at `settings.amqp_url`, if that is set.

    `limiter` is one that several processes share.
    """
    access_log = AccessLog(sys.stdout.buffer)
    throttle = Throttle(limiter or Limiter())

    async def resources(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(access_log.flush)
            await compose(app, settings, throttle, bus, stack)
            yield

    app = web.Application(middlewares=[_through_the_edge])
    app[HEALTH] = Health()
    app[REFERENCE] = Reference()
    app[DRAIN_HOOKS] = []
    # A client that goes away cancels its request at the service; bodies pass as they are, still compressed.
    app[SERVER_OPTIONS] = {"handler_cancellation": True, "auto_decompress": False, "keepalive_timeout": 75}
    runner: type[web.AppRunner] = Runner
    app[RUNNER] = runner
    app[EDGE] = Edge(Cors(settings.cors_origins), access_log, throttle, settings.trusted_proxies)
    app[HEAD_SECONDS] = settings.head_timeout_seconds
    app.on_response_prepare.append(_at_the_edge)
    app.cleanup_ctx.append(resources)
    for path, handler in {
        "/health/live": health.live,
        "/health/ready": health.ready,
        "/openapi.json": _openapi,
        "/asyncapi.json": _asyncapi,
        "/docs": _docs,
        **({"/metrics": metrics} if settings.metrics_port is None else {}),
    }.items():
        app.router.add_get(path, handler, expect_handler=_ignore_expectation)
    app.router.add_route("*", "/{path:.*}", _proxy, expect_handler=_ignore_expectation)
    return app


def build_metrics_app() -> web.Application:
    """`/metrics` and nothing else, for a port that only operators reach."""
    app = web.Application()
    app[HEALTH] = Health()
    app[DRAIN_HOOKS] = []
    app.router.add_get("/metrics", metrics)
    return app
