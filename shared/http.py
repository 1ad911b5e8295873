"""The aiohttp application of a process, its middleware, and how it runs and drains."""

import asyncio
import gc
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from http import HTTPStatus
from typing import Any

import structlog
import uvloop
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from shared import asyncapi, openapi
from shared import health as health_checks
from shared.asyncapi import EventType
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
# The documents are made when they are first asked for: that takes 100 ms of CPU, which no start waits for.
Document = Callable[[], dict[str, Any]]
OPENAPI: web.AppKey[Document] = web.AppKey("openapi")
ASYNCAPI: web.AppKey[Document] = web.AppKey("asyncapi")
# What runs an application, where it is not aiohttp's own.
RUNNER: web.AppKey[type[web.AppRunner]] = web.AppKey("runner")
# Idle connections live on for so long after SIGTERM, so that nobody writes a request to one that is being closed; the
# gateway and other clients of ours drop theirs sooner.
IDLE_SECONDS = 5.0
BACKLOG = 1024


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
    except web.RequestPayloadError:
        request.content.feed_eof()  # else aiohttp reads on after the answer, and fails again
        unpacked = InvalidRequestError("The body is not encoded as Content-Encoding says.")
        return error_response(unpacked, request_id(request), accept)
    except Exception:
        log.exception("unhandled error")
        return error_response(InternalError(), request_id(request), accept)


@web.middleware
async def request_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Binds the request id to the log, counts, measures, and renders errors."""
    started = time.perf_counter()
    structlog.contextvars.bind_contextvars(request_id=request_id(request))
    response = await render_errors(request, handler)
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unmatched"
    HTTP_REQUESTS.labels(request.method, route, response.status).inc()
    HTTP_SECONDS.labels(request.method, route).observe(time.perf_counter() - started)
    return response


async def _decorate(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer, streams included, whose request it is of, and whether its connection ends with it."""
    response.headers[REQUEST_ID] = request_id(request)
    # A body that can't be unpacked ends its connection, and nobody's next request may be on its way over that.
    is_last = request.app[HEALTH].is_draining or hdrs.CONTENT_ENCODING in request.headers
    if is_last and response.status != HTTPStatus.SWITCHING_PROTOCOLS:
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"  # aiohttp has already decided what to say


def new_app(
    settings: ProcessSettings, service: str, routers: Sequence[Router] = (), events: Sequence[EventType] = ()
) -> web.Application:
    """An application with health, metrics, documents, errors and internal tokens; resources are added by the caller."""
    app = web.Application(middlewares=[request_middleware])
    app.on_response_prepare.append(_decorate)
    app[HEALTH] = Health()
    app[DRAIN_HOOKS] = []
    app[INTERNAL_TOKENS] = InternalTokens(settings.internal_token_secret.get_secret_value(), service, SystemClock().now)
    app.router.add_get("/health/live", health_checks.live)
    app.router.add_get("/health/ready", health_checks.ready)
    app.router.add_get("/metrics", metrics)
    describe_api: Document = cache(partial(openapi.describe, add_endpoints(app, routers), service))
    describe_events: Document = cache(partial(asyncapi.describe, events, service))
    app[OPENAPI], app[ASYNCAPI] = describe_api, describe_events
    app.router.add_get("/openapi.json", _document(OPENAPI))
    app.router.add_get("/asyncapi.json", _document(ASYNCAPI))
    return app


def _document(key: web.AppKey[Document]) -> Handler:
    async def document(request: web.Request) -> web.StreamResponse:
        return json_response(await asyncio.to_thread(request.app[key]))

    return document


@dataclass(frozen=True, slots=True)
class Hosted:
    """An application, and the settings it listens and drains by; `listener` is a socket that others listen on too."""

    app: web.Application
    settings: ProcessSettings
    listener: socket.socket | None = None

    def runner(self) -> web.AppRunner:
        """What serves the application once it has sites."""
        kind = self.app.get(RUNNER, web.AppRunner)
        timeout = min(self.settings.drain_seconds, 30)
        return kind(self.app, access_log=None, shutdown_timeout=timeout, **self.app.get(SERVER_OPTIONS, {}))

    async def listen(self, runner: web.AppRunner) -> None:
        """Accept connections."""
        if self.listener is not None:
            await web.SockSite(runner, self.listener, backlog=BACKLOG).start()
        else:
            host, port = self.settings.host, self.settings.port
            await web.TCPSite(runner, host, port, reuse_port=True, backlog=BACKLOG).start()


async def _drain(hosted: Hosted, runner: web.AppRunner) -> None:
    """End what has no end of its own, accept nothing more, and wait until clients have let go of their connections.

    While it drains, every answer says that its connection ends with it.
    """
    seconds = hosted.settings.drain_seconds
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(hook() for hook in hosted.app[DRAIN_HOOKS]))
            for site in runner.sites:
                await site.stop()
    except TimeoutError:
        log.warning("drain time is over", drain_seconds=seconds)
    with suppress(TimeoutError):
        async with asyncio.timeout(min(seconds, IDLE_SECONDS)):
            while runner.server is not None and runner.server.connections:  # noqa: ASYNC110 - aiohttp tells nobody
                await asyncio.sleep(0.02)


async def _drain_all(works: Sequence[Coroutine[Any, Any, None]], cut: asyncio.Event) -> None:
    log.info("draining")
    tasks: list[asyncio.Future[Any]] = [asyncio.gather(*works), asyncio.ensure_future(cut.wait())]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _keep_what_is_loaded() -> None:
    """Leave what the start made out of garbage collection: it takes 62 ms to walk it, in which no call moves."""
    gc.collect()
    gc.freeze()


async def serve(hosted: Sequence[Hosted]) -> None:
    """Serve until SIGTERM or SIGINT, then drain and release resources in reverse. A second signal cuts the drain."""
    stop, cut = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, lambda: cut.set() if stop.is_set() else stop.set())
    runners: list[web.AppRunner] = []
    async with AsyncExitStack() as stack:
        for one in hosted:
            runner = one.runner()
            runners.append(runner)
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            await one.listen(runner)
            log.info("ready", address=one.settings.host, port=one.settings.port)
        _keep_what_is_loaded()
        await stop.wait()
        for one in hosted:
            one.app[HEALTH].is_draining = True
        await _drain_all([_drain(one, runner) for one, runner in zip(hosted, runners, strict=True)], cut)
    log.info("stopped")


def run(build_app: Callable[[], web.Application], settings: ProcessSettings, service: str) -> None:
    """The main function of a process with one application."""
    run_all(lambda: [Hosted(build_app(), settings)], settings, service)


def run_all(build: Callable[[], Sequence[Hosted]], settings: ProcessSettings, service: str) -> None:
    """The main function of every process. A failure at start is one line and exit status 1."""

    async def main() -> None:
        await serve(build())

    with at_start(settings, service):
        uvloop.run(main())


@contextmanager
def at_start(settings: ProcessSettings, service: str) -> Iterator[None]:
    """Logs are set up; an error that is ours or the system's becomes one line and exit status 1."""
    configure_logging(service, settings.log_level, settings.log_format)
    try:
        yield
    except (ApiError, OSError) as error:
        log.critical("cannot start", error=str(error), cause=repr(error.__cause__))
        raise SystemExit(1) from None
