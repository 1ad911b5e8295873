"""Services that refuse, hang, lie and break off; clients that send too much or too slowly."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.access_log import AccessLog
from gateway.routes import Route
from shared.envelope import error_response
from shared.testing.waiting import eventually
from shared.tokens import InternalTokenExpiredError


@pytest.fixture
async def raw_service() -> AsyncIterator[Any]:
    """A service that answers every request with the same bytes, then closes the connection."""
    servers: list[asyncio.Server] = []

    async def serve(answer: bytes) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def ok(_request: web.Request) -> web.Response:
    return web.json_response({"status": "success"})


async def test_no_instance_is_there(start: Any, refusing_url: str) -> None:
    stack = await start(call_url=refusing_url)
    async with stack.client.get("/call", headers=stack.auth()) as answer:
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await answer.json())["code"] == "unavailable"


@pytest.mark.parametrize("body", [None, b"{}", b"x" * 200_000])
async def test_the_next_instance_takes_over(start: Any, refusing_url: str, body: bytes | None) -> None:
    stack = await start(project_url=f"{refusing_url},{{service}}")
    stack.service.on("/project", ok)
    for _ in range(4):
        async with stack.client.post("/project", data=body, headers=stack.auth()) as answer:
            assert answer.status == 200


async def _unreachable_count(stack: Any) -> float:
    async with stack.client.get("/metrics") as answer:
        lines = (await answer.text()).splitlines()
    series = 'talkstack_gateway_upstream_failures_total{kind="unreachable",service="project"}'
    return sum(float(line.split()[-1]) for line in lines if line.startswith(series))


async def test_an_instance_that_refuses_is_left_out_for_a_while(start: Any, refusing_url: str) -> None:
    """Six requests would meet it three times. The documents, fetched before, have ejected it already."""
    stack = await start(project_url=f"{refusing_url},{{service}}", ejection_seconds=60)
    stack.service.on("/project", ok)
    await eventually(lambda: stack.service.count("/openapi.json") == 3)
    before = await _unreachable_count(stack)
    for _ in range(6):
        async with stack.client.get("/project", headers=stack.auth()) as answer:
            assert answer.status == 200
    assert await _unreachable_count(stack) - before <= 1


async def _refuses_us(request: web.Request) -> web.Response:
    await request.read()
    return error_response(InternalTokenExpiredError(), "r")


@pytest.mark.parametrize("body", [None, b"{}"])
async def test_an_instance_whose_clock_is_wrong_is_left_out(start: Any, body: bytes | None) -> None:
    """It finds our internal token too old, before it has done anything: another one does it, whatever the method."""
    other = web.Application()
    other.router.add_route("*", "/{path:.*}", _refuses_us)
    async with TestServer(other) as server:
        stack = await start(project_url=f"{server.make_url('')},{{service}}", ejection_seconds=60)
        stack.service.on("/project", ok)
        for _ in range(4):
            async with stack.client.post("/project", data=body, headers=stack.auth()) as answer:
                assert answer.status == 200
        assert stack.service.count("/project") == 4


@pytest.mark.parametrize("path", ["/project", "/call/1/ws"])
async def test_our_own_token_refused_is_not_the_customers_fault(start: Any, path: str) -> None:
    stack = await start()
    stack.service.on(path, _refuses_us)
    async with stack.client.get(path, headers=stack.auth()) as answer:
        assert answer.status == 502
        assert (await answer.json())["code"] == "internal_token_refused"


async def test_a_service_that_hangs_is_504(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.parts.ROUTES", [Route("/project", "project", answer_seconds=0.2)])
    stack = await start()
    is_over = asyncio.Event()

    async def hang(request: web.Request) -> web.Response:
        await eventually(lambda: request.transport is None)
        is_over.set()
        return web.Response()

    stack.service.on("/project", hang)
    async with stack.client.get("/project", headers=stack.auth()) as answer:
        assert answer.status == 504
        assert (await answer.json())["code"] == "upstream_timeout"
    await asyncio.wait_for(is_over.wait(), 5)


async def test_a_service_that_stops_in_mid_answer_aborts_the_connection(start: Any) -> None:
    stack = await start(idle_timeout_seconds=0.2)

    async def stall(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        await eventually(lambda: request.transport is None)
        return response

    stack.service.on("/call/1/recording", stall)
    async with stack.client.get("/call/1/recording", headers=stack.auth()) as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


@pytest.mark.parametrize("framing", ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n40000\r\n"])
@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
async def test_an_answer_that_breaks_off_is_never_ended_as_if_whole(
    start: Any, raw_service: Any, framing: str, version: str
) -> None:
    """Towards HTTP/1.0 a mere close would look like the end (RFC 9112 §6.3), so that the connection is reset."""
    head = f"HTTP/1.1 200 OK\r\nContent-Type: audio/wav\r\n{framing}"
    stack = await start(call_url=await raw_service(head.encode() + b"x" * 200_000))
    token = stack.service.token()
    request = (
        f"GET /call/1/recording {version}\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    )
    with pytest.raises(ConnectionResetError):
        await stack.raw(request.encode())


async def test_an_answer_that_breaks_off_counts_as_a_failure_of_ours(start: Any, raw_service: Any) -> None:
    """The status line said 200; the log and the metrics say what became of it."""
    stack = await start(call_url=await raw_service(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\nhalf"))
    async with stack.client.get("/call/1/recording", headers=stack.auth()) as answer:
        with pytest.raises(aiohttp.ClientError):
            await answer.read()
    async with stack.client.get("/metrics") as answer:
        assert 'method="GET",route="/call/…",status="502"' in await answer.text()


async def test_a_small_answer_that_breaks_off_is_502(start: Any, raw_service: Any) -> None:
    stack = await start(call_url=await raw_service(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"))
    async with stack.client.get("/call", headers=stack.auth()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (502, "bad_gateway")


@pytest.mark.parametrize(
    "nonsense", [b"", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"]
)
async def test_what_is_no_http_is_502(start: Any, raw_service: Any, nonsense: bytes) -> None:
    stack = await start(call_url=await raw_service(nonsense))
    async with stack.client.post("/call", headers=stack.auth(), data=b"{}") as answer:
        assert (answer.status, (await answer.json())["code"]) == (502, "bad_gateway")


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_the_limit_is_413(start: Any, is_chunked: bool) -> None:
    stack = await start(max_body_bytes=100_000)

    async def read_all(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read())})

    stack.service.on("/project", read_all)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 50_000

    data = chunks() if is_chunked else b"x" * 150_000
    async with stack.client.post("/project", data=data, headers=stack.auth()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (413, "body_too_large")
    async with stack.client.post("/project", data=b"x" * 100_000, headers=stack.auth()) as answer:
        assert (await answer.json())["bytes"] == 100_000


@pytest.mark.parametrize("length", [10, 100_000])
async def test_a_body_that_does_not_come_is_408(start: Any, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    monkeypatch.setattr("gateway.parts.ROUTES", [Route("/project", "project", answer_seconds=0.3)])
    stack = await start(idle_timeout_seconds=0.3)

    async def read_all(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read())})

    stack.service.on("/project", read_all)
    head = f"POST /project HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.service.token()}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(f"{head}Content-Length: {length}\r\n\r\nhalf".encode())
    answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize(
    "request_head",
    [
        "POST /project HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "POST /project HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n",
        "POST /project HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n",
        "GET /project HTTP/1.1\r\nHost: x\r\nX-Name : value\r\n",
        "GET http://evil.example/project HTTP/1.1\r\nHost: x\r\n",
    ],
)
async def test_ambiguous_requests_never_reach_a_service(stack: Any, request_head: str) -> None:
    stack.service.on("/project", ok)
    authorization = f"Authorization: Bearer {stack.service.token()}\r\nConnection: close\r\n\r\n"
    body = b"0\r\n\r\n" if request_head.startswith("POST") else b""
    answer = await stack.raw((request_head + authorization).encode() + body)
    assert answer.split()[1] == b"400"
    assert stack.service.count("/project") == 0


async def test_a_failing_request_is_logged_without_path_or_credentials(
    monkeypatch: pytest.MonkeyPatch, start: Any, refusing_url: str
) -> None:
    output = io.BytesIO()
    monkeypatch.setattr("gateway.app.AccessLog", lambda _stdout: AccessLog(output))
    stack = await start(call_url=refusing_url)
    headers = stack.auth() | {"X-Request-Id": "of-this-test"}
    async with stack.client.get("/do-not-call/+12025550100?secret=1", headers=headers) as answer:
        assert answer.status == 503
    await eventually(lambda: b'"request_id":"of-this-test"' in output.getvalue())
    lines = output.getvalue().splitlines()
    line = next(json.loads(line) for line in lines if b'"request_id":"of-this-test"' in line)
    assert (line["method"], line["route"], line["status"]) == ("GET", "/do-not-call/…", 503)
    assert (line["tenant"], line["credential"], line["upstream"]) == ("user-1", "token", "call")
    assert b"12025550100" not in output.getvalue()
    assert b"secret" not in output.getvalue()
