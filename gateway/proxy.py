"""Routes, authenticates and forwards every request that the gateway does not answer itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import hdrs, web
from multidict import CIMultiDict

from gateway import headers as header_rules
from gateway.authn import Authenticator, Signatures
from gateway.documents import Documents
from gateway.exchange import EXCHANGE
from gateway.forward import Forward
from gateway.paths import segments_of
from gateway.routes import Route, RouteTable, ServiceName
from gateway.settings import GatewaySettings
from gateway.streams import OpenStreams
from gateway.upstreams import Upstream
from gateway.websockets import bridge, is_websocket
from shared import tokens
from shared.errors import ForbiddenError, MethodNotAllowedError, NotFoundError
from shared.request_ids import REQUEST_ID, request_id
from shared.tokens import Principal

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Proxy:
    """What the handler needs."""

    settings: GatewaySettings
    routes: RouteTable
    documents: Documents
    authenticator: Authenticator
    signatures: Signatures
    upstreams: Mapping[ServiceName, Upstream]
    streams: OpenStreams

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The handler of all paths and methods."""
        segments = segments_of(request.raw_path)
        route = self.routes.match(segments)
        if route is None:
            raise NotFoundError
        exchange = request[EXCHANGE]
        exchange.pattern = self.documents.pattern(route, segments)
        exchange.upstream = route.service
        if request.method not in METHODS:
            raise MethodNotAllowedError(headers={"Allow": ", ".join(METHODS)})
        if route.auth != "none":
            exchange.principal = await self._principal(request)
        headers = self._headers(request, exchange.principal)
        upstream = self.upstreams[route.service]
        if is_websocket(request):
            return await bridge(request, upstream, headers, self.streams)
        return await self._forward(request, route, upstream, headers)

    async def _principal(self, request: web.Request) -> Principal:
        principal = await self.authenticator.authenticate(request.headers)
        if request.method not in _READING and "*" not in principal.scopes:
            raise ForbiddenError
        return principal

    def _headers(self, request: web.Request, principal: Principal | None) -> CIMultiDict[str]:
        forwarded_for = request.headers.getall(hdrs.X_FORWARDED_FOR, ())
        peer = request.remote or ""
        ours = {
            tokens.HEADER: self.signatures.of(principal),
            REQUEST_ID: request_id(request),
            header_rules.CLIENT_IP: header_rules.client_ip(peer, forwarded_for, self.settings.trusted_proxies),
        }
        return header_rules.to_service(request.headers, ours)

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
