"""A real chat endpoint on loopback that speaks OpenAI's streaming protocol, and misbehaves on request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web

Behaviour = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
SECRET = "sk-very-secret"


class FakeEndpoint:
    """Answers with the queued behaviours in turn, the last one for ever. Keeps the bodies it got."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours)
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.base_url = ""

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        self.bodies.append(body)
        self.keys.append(request.headers.get("Authorization"))
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        return await behaviour(request, body)


@asynccontextmanager
async def running(*behaviours: Behaviour) -> AsyncIterator[FakeEndpoint]:
    endpoint = FakeEndpoint(*behaviours)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", endpoint._handle)
    app.router.add_post("/v1/messages", endpoint._handle)  # Anthropic's
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    endpoint.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


def text_chunk(text: str) -> bytes:
    return _event({"choices": [{"index": 0, "delta": {"content": text}}]})


def call_chunk(index: int, *, name: str = "", arguments: str = "") -> bytes:
    call: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if name:
        call |= {"id": f"call_{index}", "function": {"name": name, "arguments": arguments}}
    return _event({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})


STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def _event(chunk: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def streams(*parts: bytes, pause_seconds: float = 0.0, cut: bool = False) -> Behaviour:
    async def behave(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
            await asyncio.sleep(pause_seconds)
        if cut and request.transport:
            request.transport.abort()
        return response

    return behave


def says(*texts: str) -> Behaviour:
    return streams(*(text_chunk(text) for text in texts), STOP)


def answers(content: str) -> Behaviour:
    async def behave(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"choices": [{"message": {"role": "assistant", "content": content}}]})

    return behave


def fails(status: int, *, retry_after: str | None = None) -> Behaviour:
    async def behave(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        error = {"error": {"message": f"Incorrect API key provided: {SECRET}", "code": "some_code"}}
        headers = {"Retry-After": retry_after} if retry_after else {}
        return web.json_response(error, status=status, headers=headers)

    return behave


async def hangs(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def drops(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
    assert request.transport
    request.transport.abort()
    return web.Response()
