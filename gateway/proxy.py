"""Routes, authenticates and forwards every request that the gateway does not answer itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDict

from gateway.authn import Authenticator, Caller, Signatures
from gateway.documents import Documents, OpenApi
from gateway.exchange import EXCHANGE, Exchange
from gateway.forward import Forward
from gateway.headers import to_service
from gateway.limits import network_of
from gateway.paths import segments_of
from gateway.routes import Route, RouteTable, ServiceName
from gateway.settings import GatewaySettings
from gateway.stream_tokens import PARAMETER, StreamTokens
from gateway.streams import OpenStreams
from gateway.throttle import AUTH, KEY, USER, Throttle
from gateway.upstreams import Upstream
from gateway.websockets import bridge, is_websocket
from shared import tokens
from shared.client import CLIENT_IP
from shared.errors import MethodNotAllowedError, NotFoundError
from shared.request_ids import REQUEST_ID, request_id

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


@dataclass(frozen=True, slots=True)
class Proxy:
    """What the handler needs."""

    settings: GatewaySettings
    routes: RouteTable
    openapi: OpenApi
    asyncapi: Documents
    authenticator: Authenticator
    stream_tokens: StreamTokens
    signatures: Signatures
    upstreams: Mapping[ServiceName, Upstream]
    streams: OpenStreams
    throttle: Throttle

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The handler of all paths and methods."""
        segments = segments_of(request.raw_path)
        route = self.routes.match(segments)
        if route is None:
            raise NotFoundError
        exchange = request[EXCHANGE]
        exchange.pattern = self.openapi.pattern(route, segments)
        exchange.upstream = route.service
        if request.method not in METHODS:
            raise MethodNotAllowedError(headers={"Allow": ", ".join(METHODS)})
        if route.is_limited:
            self.throttle.take(exchange, AUTH, network_of(exchange.client_ip))
        if route.auth != "none":
            await self._authenticate(request, route, exchange)
        headers = self._headers(request, exchange)
        upstream = self.upstreams[route.service]
        if is_websocket(request):
            return await bridge(request, upstream, headers, self.streams)
        return await self._forward(request, route, upstream, headers)

    async def _authenticate(self, request: web.Request, route: Route, exchange: Exchange) -> None:
        if route.is_stream and request.method == "GET" and (token := request.query.get(PARAMETER)):
            exchange.target = request.rel_url.without_query_params(PARAMETER).raw_path_qs
            caller = Caller(await self.stream_tokens.redeem(token, exchange.target))
        else:
            caller = await self.authenticator.authenticate(request.headers)
        exchange.principal = caller.principal
        exchange.credential = caller.principal.session_id or caller.principal.key_sha256
        exchange.expires_at = caller.expires_at
        if caller.key_id is not None:
            self.throttle.take(exchange, KEY, caller.key_id)
        self.throttle.take(exchange, USER, caller.principal.user_id)

    def _headers(self, request: web.Request, exchange: Exchange) -> CIMultiDict[str]:
        ours = {
            tokens.HEADER: self.signatures.of(exchange.principal),
            REQUEST_ID: request_id(request),
            CLIENT_IP: exchange.client_ip,
        }
        return to_service(request.headers, ours)

    async def _forward(
        self, request: web.Request, route: Route, upstream: Upstream, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        max_bytes = self.settings.max_upload_bytes if route.is_upload else self.settings.max_body_bytes
        forward = Forward(
            request,
            upstream,
            headers,
            answer_seconds=route.answer_seconds,
            idle_seconds=self.settings.idle_timeout_seconds,
            max_body_bytes=max_bytes,
            streams=self.streams,
        )
        return await forward.run()
