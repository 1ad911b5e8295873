"""The real gateway on a free port, in front of a service whose answers the tests choose."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import aiohttp
import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm
from pydantic import BaseModel

from gateway.app import build_app
from gateway.settings import GatewaySettings
from shared import asyncapi
from shared.asyncapi import EventType
from shared.http import RUNNER, SERVER_OPTIONS
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from shared.tokens import HEADER, InternalTokens, Principal

SECRET = "an internal secret of at least 32 bytes"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def _listen(app: web.Application, stack: AsyncExitStack, **options: Any) -> str:
    # A handler that a test has wait for ever would hold up the end by a minute.
    runner = app.get(RUNNER, web.AppRunner)(app, access_log=None, shutdown_timeout=0.1, **options)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


class Said(BaseModel):
    text: str


class Service:
    """All services in one: real keys and tokens, an answer for each path that a test sets with `on`."""

    def __init__(self) -> None:
        self.keys = {"first": Ed25519PrivateKey.generate()}
        self.handlers: dict[str, Handler] = {}
        self.api_keys: dict[str, dict[str, Any]] = {}
        self.requests: list[web.Request] = []
        self.ended_sessions: list[str] | None = []
        self.documents: dict[str, Any] = {"paths": {}, "components": {"schemas": {}, "securitySchemes": {}}}
        self.on("/.well-known/jwks.json", self._jwks)
        self.on("/internal/api-keys/verify", self._verify)
        self.on("/internal/sessions/revoked", self._ended)
        self.on("/openapi.json", self._openapi)
        self.on("/asyncapi.json", self._asyncapi)
        self.app = web.Application(client_max_size=2**30)
        self.app.router.add_route("*", "/{path:.*}", self._answer)

    def on(self, path: str, handler: Handler) -> None:
        self.handlers[path] = handler

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def principal(self) -> Principal | None:
        """Whom the gateway spoke for in the latest request."""
        tokens = InternalTokens(SECRET, "test", lambda: datetime.now(UTC))
        return tokens.verify(self.requests[-1].headers.get(HEADER))

    def token(self, key_id: str = "first", *, typ: str = "at+jwt", **changes: Any) -> str:
        """An access token as auth_service signs it, unless `changes` says otherwise."""
        claims = {
            "iss": "talkstack",
            "aud": "talkstack-api",
            "sub": "user-1",
            "sid": "session-1",
            "scope": "*",
            "jti": new_id(),
            "exp": datetime.now(UTC) + timedelta(hours=2),
        }
        return jwt.encode({**claims, **changes}, self.keys[key_id], "EdDSA", headers={"kid": key_id, "typ": typ})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        handler = self.handlers.get(request.path)
        return web.json_response({"code": "not_found"}, status=404) if handler is None else await handler(request)

    async def _jwks(self, _request: web.Request) -> web.Response:
        public = {key_id: OKPAlgorithm.to_jwk(key.public_key(), as_dict=True) for key_id, key in self.keys.items()}
        return web.json_response({"keys": [key | {"kid": key_id, "alg": "EdDSA"} for key_id, key in public.items()]})

    async def _verify(self, request: web.Request) -> web.Response:
        owner = self.api_keys.get((await request.json())["key"])
        return web.json_response(owner or {"code": "invalid_api_key"}, status=200 if owner else 404)

    async def _asyncapi(self, _request: web.Request) -> web.Response:
        return web.json_response(asyncapi.describe([EventType("call.ended", Said, "It is over.")], "call"))

    async def _ended(self, _request: web.Request) -> web.Response:
        status = 503 if self.ended_sessions is None else 200
        return web.json_response({"session_ids": self.ended_sessions}, status=status)

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.json_response(self.documents)


class Stack:
    """The gateway, the service behind it, and a client without credentials."""

    def __init__(self, url: str, app: web.Application, service: Service, bus: InMemoryBus) -> None:
        self.url = url
        self.app = app
        self.service = service
        self.bus = bus
        self.client = aiohttp.ClientSession(url, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar())

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def auth(self, **changes: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.service.token(**changes)}"}

    async def raw(self, request: bytes) -> bytes:
        """Send bytes as they are and read until the connection ends."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(10):
                return await reader.read()
        finally:
            writer.close()


@pytest.fixture
def refusing_url() -> Iterator[str]:
    """An address where nobody listens; it is held, so that nobody else can have it meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
async def start() -> AsyncIterator[Callable[..., Awaitable[Stack]]]:
    """Starts a stack. `paths` are those of the service's OpenAPI document, of `ended_sessions` None is an outage.

    The other keywords are settings of the gateway, in which `{service}` stands for the service's URL.
    """
    async with AsyncExitStack() as stack:

        async def start_stack(
            *,
            is_ready: bool = True,
            paths: Mapping[str, Any] = MappingProxyType({}),
            ended_sessions: Sequence[str] | None = (),
            **settings: Any,
        ) -> Stack:
            service, bus = Service(), InMemoryBus()
            service.documents["paths"].update(paths)
            service.ended_sessions = None if ended_sessions is None else list(ended_sessions)
            stack.push_async_callback(bus.close)
            service_url = await _listen(service.app, stack)
            environment = dict.fromkeys(("auth_url", "project_url", "call_url"), service_url) | settings
            environment = {
                name: value.replace("{service}", service_url) if isinstance(value, str) else value
                for name, value in environment.items()
            }
            app = build_app(GatewaySettings(internal_token_secret=SECRET, **environment), bus)
            started = Stack(await _listen(app, stack, **app[SERVER_OPTIONS]), app, service, bus)
            stack.push_async_callback(started.client.close)
            if is_ready:
                await eventually(lambda: _is_ready(started))
            return started

        yield start_stack


async def _is_ready(stack: Stack) -> bool:
    async with stack.client.get("/health/ready") as answer:
        return answer.status == 200


@pytest.fixture
async def stack(start: Callable[..., Awaitable[Stack]]) -> Stack:
    return await start()
