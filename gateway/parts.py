"""What the gateway's handlers need, composed."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from aiohttp import hdrs, web

from gateway.access_tokens import AccessTokens
from gateway.api_keys import ApiKeys
from gateway.authn import Authenticator, Signatures
from gateway.background import repeating
from gateway.documents import Documents, OpenApi, merge_asyncapi
from gateway.ended_sessions import EndedSessions
from gateway.instances import Instances, RetryBudget
from gateway.keys import PublicKeys
from gateway.proxy import Proxy
from gateway.reload import load, reloading
from gateway.revocations import Revocations
from gateway.routes import ROUTES, SERVICES, RouteTable, ServiceName
from gateway.settings import Changeable, GatewaySettings
from gateway.stream_tokens import StreamTokens
from gateway.streams import OpenStreams
from gateway.throttle import Throttle
from gateway.upstreams import Upstream
from shared.bus import EventBus
from shared.clock import SystemClock
from shared.health import HEALTH
from shared.http import DRAIN_HOOKS
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
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=settings.upstream_keepalive_seconds),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=(hdrs.USER_AGENT, hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_timeout_seconds),
    )


def _instances_of(config: Changeable) -> Mapping[ServiceName, tuple[str, ...]]:
    return {"auth": config.auth_url, "project": config.project_url, "call": config.call_url}


def _new_upstreams(settings: GatewaySettings, session: aiohttp.ClientSession) -> Upstreams:
    return {
        name: Upstream(name, Instances(urls, settings.ejection_seconds), session, RetryBudget())
        for name, urls in _instances_of(load(settings)).items()
    }


def _getter(upstream: Upstream, path: str, signatures: Signatures) -> Ask:
    return lambda: upstream.call("GET", path, signatures.of(_OURSELVES))


def _new_api_keys(settings: GatewaySettings, auth: Upstream, signatures: Signatures) -> ApiKeys:
    async def ask(key: str) -> tuple[int, Any]:
        return await auth.call("POST", "/internal/api-keys/verify", signatures.of(_OURSELVES), {"key": key})

    return ApiKeys(ask, settings.api_key_cache_seconds, settings.api_key_refusal_seconds, SystemClock().now)


def _new_ended_sessions(
    auth: Upstream, signatures: Signatures, access_tokens: AccessTokens, streams: OpenStreams
) -> EndedSessions:
    async def ask(since: str) -> tuple[int, Any]:
        path = f"/internal/sessions/revoked?since={since}"
        return await auth.call("GET", path, signatures.of(_OURSELVES))

    return EndedSessions(ask, access_tokens, streams, SystemClock().now)


def _new_stream_tokens(
    call: Upstream, signatures: Signatures, access_tokens: AccessTokens, streams: OpenStreams
) -> StreamTokens:
    async def ask(token: str, target: str) -> tuple[int, Any]:
        body = {"token": token, "target": target}
        return await call.call("POST", "/internal/events/redeem-token", signatures.of(_OURSELVES), body)

    return StreamTokens(ask, access_tokens, streams)


async def compose(
    app: web.Application, settings: GatewaySettings, throttle: Throttle, bus: EventBus | None, stack: AsyncExitStack
) -> None:
    """Create what the handlers need, and start what repeats in the background."""
    now = SystemClock().now
    session = await stack.enter_async_context(_new_session(settings))
    upstreams = _new_upstreams(settings, session)
    auth = upstreams["auth"]
    signatures = Signatures(InternalTokens(settings.internal_token_secret.get_secret_value(), "gateway", now))
    keys = PublicKeys(
        _getter(auth, "/.well-known/jwks.json", signatures), min_interval_seconds=settings.jwks_min_interval_seconds
    )
    access_tokens = AccessTokens(keys, settings.token_issuer, settings.token_audience, now)
    api_keys = _new_api_keys(settings, auth, signatures)
    streams = OpenStreams()
    ended_sessions = _new_ended_sessions(auth, signatures, access_tokens, streams)
    openapi = OpenApi({name: _getter(upstreams[name], "/openapi.json", signatures) for name in SERVICES})
    asyncapi = Documents(
        {name: _getter(upstreams[name], "/asyncapi.json", signatures) for name in SERVICES}, merge_asyncapi
    )
    app[PROXY] = Proxy(
        settings=settings,
        routes=RouteTable(ROUTES),
        openapi=openapi,
        asyncapi=asyncapi,
        authenticator=Authenticator(access_tokens, api_keys),
        stream_tokens=_new_stream_tokens(upstreams["call"], signatures, access_tokens, streams),
        signatures=signatures,
        upstreams=upstreams,
        streams=streams,
        throttle=throttle,
    )

    def apply(config: Changeable) -> None:
        throttle.use(config)
        for name, urls in _instances_of(config).items():
            upstreams[name].instances.replace(urls)

    stack.enter_context(reloading(settings, apply))
    app[DRAIN_HOOKS].append(streams.end_all)
    app[HEALTH].register("public_keys", keys.ping)
    app[HEALTH].register("ended_sessions", ended_sessions.ping)
    await stack.enter_async_context(repeating(keys.refresh, settings.jwks_refresh_seconds))
    await stack.enter_async_context(repeating(ended_sessions.refresh, settings.revoked_sessions_seconds))
    for documents in (openapi, asyncapi):
        await stack.enter_async_context(repeating(documents.refresh, DOCUMENTS_SECONDS))
    if bus is not None or settings.amqp_url is not None:
        revocations = Revocations(access_tokens, api_keys, streams, bus, str(settings.amqp_url))
        stack.push_async_callback(revocations.close)
        await stack.enter_async_context(repeating(revocations.subscribe, SUBSCRIBE_SECONDS))
