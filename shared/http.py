"""The aiohttp application of a process, its middleware, and how it runs and drains."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler

from shared import health as health_checks
from shared import openapi
from shared.clock import SystemClock
from shared.endpoints import INTERNAL_TOKENS, Router, add_endpoints
from shared.envelope import error_response, json_response
from shared.errors import (
    ApiError,
    BodyTooLargeError,
    InternalError,
    InvalidRequestError,
    MethodNotAllowedError,
    NotFoundError,
)
from shared.health import HEALTH, Health
from shared.logging import configure_logging
from shared.metrics import HTTP_REQUESTS, HTTP_SECONDS, metrics
from shared.request_ids import REQUEST_ID, request_id
from shared.settings import ProcessSettings
from shared.tokens import InternalTokens

log = structlog.get_logger(__name__)

DrainHook = Callable[[], Awaitable[None]]
DRAIN_HOOKS = web.AppKey("drain_hooks", list[DrainHook])
# How aiohttp serves an application, where the defaults do not fit.
SERVER_OPTIONS = web.AppKey("server_options", dict[str, Any])


def _from_http_exception(error: web.HTTPException) -> ApiError:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowedError(headers={"Allow": ", ".join(sorted(error.allowed_methods))})
    if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return BodyTooLargeError()
    if error.status == HTTPStatus.NOT_FOUND:
        return NotFoundError()
    return InvalidRequestError(error.reason) if error.status < 500 else InternalError()


async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Run the handler; whatever it raises becomes the error envelope. Causes go to the log only."""
    accept = request.headers.get("Accept", "")
    try:
        return await handler(request)
    except ApiError as error:
        if error.status >= 500:
            log.warning("request failed", code=error.code, cause=repr(error.__cause__))
        return error_response(error, request_id(request), accept)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return error_response(_from_http_exception(error), request_id(request), accept)
    except ConnectionResetError:
        raise
    except Exception:
        log.exception("unhandled error")
        return error_response(InternalError(), request_id(request), accept)


@web.middleware
async def request_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Binds the request id, counts, measures, and renders errors."""
    started = time.perf_counter()
    structlog.contextvars.bind_contextvars(request_id=request_id(request))
    response = await render_errors(request, handler)
    if not response.prepared:
        response.headers[REQUEST_ID] = request_id(request)
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unmatched"
    HTTP_REQUESTS.labels(request.method, route, response.status).inc()
    HTTP_SECONDS.labels(request.method, route).observe(time.perf_counter() - started)
    return response


def new_app(settings: ProcessSettings, service: str, routers: Sequence[Router] = ()) -> web.Application:
    """An application with health, metrics, OpenAPI, errors and internal tokens; resources are added by the caller."""
    app = web.Application(middlewares=[request_middleware])
    app[HEALTH] = Health()
    app[DRAIN_HOOKS] = []
    app[INTERNAL_TOKENS] = InternalTokens(settings.internal_token_secret.get_secret_value(), service, SystemClock().now)
    app.router.add_get("/health/live", health_checks.live)
    app.router.add_get("/health/ready", health_checks.ready)
    app.router.add_get("/metrics", metrics)
    document = openapi.describe(add_endpoints(app, routers), service)

    async def openapi_document(_request: web.Request) -> web.Response:
        return json_response(document)

    app.router.add_get("/openapi.json", openapi_document)
    return app


@dataclass(frozen=True, slots=True)
class Hosted:
    """An application, and the settings it listens and drains by."""

    app: web.Application
    settings: ProcessSettings


async def _drain(hosted: Hosted) -> None:
    hosted.app[HEALTH].is_draining = True
    seconds = hosted.settings.drain_seconds
    try:
        await asyncio.wait_for(asyncio.gather(*(hook() for hook in hosted.app[DRAIN_HOOKS])), seconds)
    except TimeoutError:
        log.warning("drain time is over", drain_seconds=seconds)


async def _drain_all(hosted: Sequence[Hosted], cut: asyncio.Event) -> None:
    log.info("draining")
    works: list[asyncio.Future[Any]] = [
        asyncio.gather(*(_drain(one) for one in hosted)),
        asyncio.ensure_future(cut.wait()),
    ]
    await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
    for work in works:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work


async def serve(hosted: Sequence[Hosted]) -> None:
    """Serve until SIGTERM or SIGINT, then drain and release resources in reverse. A second signal cuts the drain."""
    stop, cut = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: cut.set() if stop.is_set() else stop.set())
    async with AsyncExitStack() as stack:
        for one in hosted:
            settings = one.settings
            runner = web.AppRunner(
                one.app,
                access_log=None,
                shutdown_timeout=min(settings.drain_seconds, 30),
                **one.app.get(SERVER_OPTIONS, {}),
            )
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await web.TCPSite(runner, settings.host, settings.port, reuse_port=True, backlog=1024).start()
            log.info("ready", address=settings.host, port=settings.port)
        await stop.wait()
        await _drain_all(hosted, cut)
    log.info("stopped")


def run(build_app: Callable[[], web.Application], settings: ProcessSettings, service: str) -> None:
    """The main function of a process with one application."""
    run_all(lambda: [Hosted(build_app(), settings)], settings, service)


def run_all(build: Callable[[], Sequence[Hosted]], settings: ProcessSettings, service: str) -> None:
    """The main function of every process. A failure at start is one line and exit status 1."""
    configure_logging(service, settings.log_level, settings.log_format)

    async def main() -> None:
        await serve(build())

    try:
        uvloop.run(main())
    except (ApiError, OSError) as error:
        log.critical("cannot start", error=str(error), cause=repr(error.__cause__))
        raise SystemExit(1) from None
