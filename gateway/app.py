"""Composes the gateway's process."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from aiohttp import hdrs, web

from gateway.access_log import AccessLog
from gateway.access_tokens import AccessTokens
from gateway.api_keys import ApiKeys
from gateway.authn import Authenticator, Signatures
from gateway.background import repeating
from gateway.cors import Cors
from gateway.documents import Documents
from gateway.exchange import new_decorator, new_middleware
from gateway.keys import PublicKeys
from gateway.proxy import Proxy
from gateway.revocations import Revocations
from gateway.routes import ROUTES, RouteTable, ServiceName
from gateway.settings import GatewaySettings
from gateway.streams import OpenStreams
from gateway.upstreams import Upstream
from shared import health
from shared.bus import EventBus
from shared.clock import SystemClock
from shared.envelope import json_response
from shared.health import HEALTH, Health
from shared.http import DRAIN_HOOKS, SERVER_OPTIONS
from shared.metrics import metrics
from shared.tokens import InternalTokens, Principal

PROXY = web.AppKey("proxy", Proxy)
DOCUMENTS_SECONDS = 60
SUBSCRIBE_SECONDS = 5
_OURSELVES = Principal("gateway", "service")

Upstreams = Mapping[ServiceName, Upstream]
Ask = Callable[[], Awaitable[tuple[int, Any]]]


def _new_session(settings: GatewaySettings) -> aiohttp.ClientSession:
    """What comes from a service goes on as it is: nothing is followed, remembered or decompressed.

    Connections have no limit of their own: each serves one client's request, so the clients' limit is theirs.
    An idle one is dropped long before a service drops it, lest a request meets a closing connection.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_seconds),
    )


def _new_upstreams(settings: GatewaySettings, session: aiohttp.ClientSession) -> Upstreams:
    instances: dict[ServiceName, tuple[str, ...]] = {
        "auth": settings.auth_url,
        "project": settings.project_url,
        "call": settings.call_url,
    }
    return {
        name: Upstream(name, urls, session, ejection_seconds=settings.ejection_seconds)
        for name, urls in instances.items()
    }


def _getter(upstream: Upstream, path: str, signatures: Signatures) -> Ask:
    return lambda: upstream.call("GET", path, signatures.of(_OURSELVES))


def _new_api_keys(settings: GatewaySettings, auth: Upstream, signatures: Signatures) -> ApiKeys:
    async def ask(key: str) -> tuple[int, Any]:
        return await auth.call("POST", "/internal/api-keys/verify", signatures.of(_OURSELVES), {"key": key})

    return ApiKeys(ask, settings.api_key_cache_seconds, settings.api_key_refusal_seconds, SystemClock().now)


async def _compose(
    app: web.Application, settings: GatewaySettings, bus: EventBus | None, stack: AsyncExitStack
) -> None:
    """Create what the handlers need, and start what repeats in the background."""
    now = SystemClock().now
    session = await stack.enter_async_context(_new_session(settings))
    upstreams = _new_upstreams(settings, session)
    signatures = Signatures(InternalTokens(settings.internal_token_secret.get_secret_value(), "gateway", now))
    keys = PublicKeys(
        _getter(upstreams["auth"], "/.well-known/jwks.json", signatures),
        min_interval_seconds=settings.jwks_min_interval_seconds,
    )
    documents = Documents({name: _getter(one, "/openapi.json", signatures) for name, one in upstreams.items()})
    access_tokens = AccessTokens(keys, settings.token_issuer, settings.token_audience, now)
    api_keys = _new_api_keys(settings, upstreams["auth"], signatures)
    streams = OpenStreams()
    app[PROXY] = Proxy(
        settings, RouteTable(ROUTES), documents, Authenticator(access_tokens, api_keys), signatures, upstreams, streams
    )
    app[DRAIN_HOOKS].append(streams.end_all)
    app[HEALTH].register("public_keys", keys.ping)
    await stack.enter_async_context(repeating(keys.refresh, settings.jwks_refresh_seconds))
    await stack.enter_async_context(repeating(documents.refresh, DOCUMENTS_SECONDS))
    if bus is not None or settings.amqp_url is not None:
        revocations = Revocations(access_tokens, api_keys, bus, str(settings.amqp_url))
        stack.push_async_callback(revocations.close)
        await stack.enter_async_context(repeating(revocations.subscribe, SUBSCRIBE_SECONDS))


async def _proxy(request: web.Request) -> web.StreamResponse:
    return await request.app[PROXY].handle(request)


async def _openapi(request: web.Request) -> web.Response:
    return json_response(request.app[PROXY].documents.merged())


def build_app(settings: GatewaySettings, bus: EventBus | None = None) -> web.Application:
    """The gateway; without `bus` it hears of revocations from RabbitMQ at `settings.amqp_url`, if that is set."""
    cors = Cors(settings.cors_origins)
    access_log = AccessLog(sys.stdout.buffer)

    async def resources(app: web.Application) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.callback(access_log.flush)
            await _compose(app, settings, bus, stack)
            yield

    app = web.Application(middlewares=[new_middleware(cors, access_log)])
    app[HEALTH] = Health()
    app[DRAIN_HOOKS] = []
    # A client that goes away cancels its request at the service; bodies pass as they are, still compressed.
    app[SERVER_OPTIONS] = {"handler_cancellation": True, "auto_decompress": False, "keepalive_timeout": 75}
    app.on_response_prepare.append(new_decorator(cors))
    app.cleanup_ctx.append(resources)
    app.router.add_get("/health/live", health.live)
    app.router.add_get("/health/ready", health.ready)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/openapi.json", _openapi)
    app.router.add_route("*", "/{path:.*}", _proxy)
    return app
