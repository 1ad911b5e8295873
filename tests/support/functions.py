"""Somebody's functions on a real loopback server, for agents to call, and the tools that call them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from call_service.tools.http import HttpTool, Target
from shared.http_client import GuardedClient

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]
ORDER: Mapping[str, Any] = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "city": {"type": "string"}},
    "required": ["order"],
}


@dataclass
class Functions:
    """Answers with the queued behaviours in turn, the last one for ever; keeps what it was asked."""

    behaviours: list[Behaviour]
    url: str = ""
    asked: list[tuple[str, str, bytes]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    open: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, str(request.rel_url), await request.read()))
        self.headers.append(dict(request.headers))
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        self.open += 1
        try:
            return await behaviour(request)
        finally:
            self.open -= 1


@asynccontextmanager
async def functions(*behaviours: Behaviour) -> AsyncIterator[Functions]:
    served = Functions(list(behaviours))
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_route("*", "/{path:.*}", served.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


def returns(text: str, status: int = 200, *, after: float = 0) -> Behaviour:
    async def behave(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(after)
        return web.Response(text=text, status=status)

    return behave


async def hangs(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def drops(request: web.Request) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def tool_at(
    url: str,
    *,
    name: str = "order_status",
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    timeout_seconds: float = 5,
    retries: int = 0,
    allow_private: bool = True,
) -> AsyncIterator[HttpTool]:
    async def known() -> Mapping[str, SecretStr]:
        return {key: SecretStr(value) for key, value in (secrets or {}).items()}

    async with GuardedClient(allow_private=allow_private) as client:
        yield HttpTool(
            name,
            "The state of an order.",
            ORDER,
            "One moment, I am looking.",
            Target(url, method, headers or {}, timeout_seconds, retries),
            "call-1",
            client,
            known,
        )
