"""Requests and answers on their way through the gateway."""

import asyncio
import gzip
import hashlib
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from shared.testing.waiting import eventually

MIB = 1024 * 1024


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.json_response(
        {
            "method": request.method,
            "target": request.raw_path,
            "headers": {name.lower(): value for name, value in request.headers.items()},
            "sha256": hashlib.sha256(body).hexdigest(),
            "bytes": len(body),
        }
    )


async def test_method_target_headers_and_body_arrive_as_they_were_sent(stack: Any) -> None:
    stack.service.on("/project/a b", echo)
    target = "/project/a%20b?q=%2Fx&q=%C3%BC"
    body = '{"name": "ü"}'.encode()
    headers = stack.auth() | {"X-Own": "1", "Content-Type": "application/json"}
    async with stack.client.put(URL(stack.url + target, encoded=True), data=body, headers=headers) as answer:
        seen = await answer.json()
    assert answer.status == 200
    assert (seen["method"], seen["target"]) == ("PUT", target)
    assert seen["headers"]["x-own"] == "1"
    assert seen["headers"]["content-type"] == "application/json"
    assert seen["sha256"] == hashlib.sha256(body).hexdigest()


async def test_identity_is_the_gateways_to_give(stack: Any) -> None:
    stack.service.on("/project", echo)
    forged = {
        "X-Internal-Token": "forged",
        "X-Client-IP": "6.6.6.6",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "for=6.6.6.6",
        "X-Secret-Hop": "1",
        "Connection": "keep-alive, X-Secret-Hop",
    }
    async with stack.client.get("/project", headers=stack.auth() | forged) as answer:
        seen = (await answer.json())["headers"]
    assert seen["x-client-ip"] == "127.0.0.1"
    assert not {"x-forwarded-for", "x-forwarded-host", "forwarded", "x-secret-hop", "authorization"} & seen.keys()
    principal = stack.service.principal()
    assert (principal.user_id, principal.credential, principal.session_id) == ("user-1", "token", "session-1")
    assert principal.scopes == ("*",)


async def test_a_trusted_proxy_tells_the_clients_address(start: Any) -> None:
    stack = await start(trusted_proxies="127.0.0.0/8")
    stack.service.on("/project", echo)
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 127.0.0.2"}
    async with stack.client.get("/project", headers=stack.auth() | forwarded) as answer:
        assert (await answer.json())["headers"]["x-client-ip"] == "203.0.113.9"


async def test_request_id_is_kept_made_and_echoed_once(stack: Any) -> None:
    async def with_id(request: web.Request) -> web.Response:
        return web.json_response({"id": request.headers["X-Request-Id"]}, headers={"X-Request-Id": "the service's"})

    stack.service.on("/project", with_id)
    async with stack.client.get("/project", headers=stack.auth() | {"X-Request-Id": "mine-1"}) as answer:
        assert (await answer.json())["id"] == "mine-1"
        assert answer.headers.getall("X-Request-Id") == ["mine-1"]
    async with stack.client.get("/project", headers=stack.auth() | {"X-Request-Id": "not a sane id"}) as answer:
        assert (await answer.json())["id"] == answer.headers["X-Request-Id"] != "not a sane id"


async def test_traceparent_is_passed_on(stack: Any) -> None:
    stack.service.on("/project", echo)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    async with stack.client.get("/project", headers=stack.auth() | {"traceparent": trace}) as answer:
        assert (await answer.json())["headers"]["traceparent"] == trace


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_uploads_are_streamed(stack: Any, is_chunked: bool) -> None:
    """The service has the first half before the client sends the second."""
    first_half_is_there = asyncio.Event()

    async def receive(request: web.Request) -> web.Response:
        first = await request.content.readexactly(2 * MIB)
        first_half_is_there.set()
        rest = await request.content.read()
        return web.json_response({"sha256": hashlib.sha256(first + rest).hexdigest()})

    async def halves() -> Any:
        yield b"a" * 2 * MIB
        await asyncio.wait_for(first_half_is_there.wait(), 10)
        yield b"b" * 2 * MIB

    stack.service.on("/call/batch-call", receive)
    length = {} if is_chunked else {"Content-Length": str(4 * MIB)}
    async with stack.client.post("/call/batch-call", data=halves(), headers=stack.auth() | length) as answer:
        assert (await answer.json())["sha256"] == hashlib.sha256(b"a" * 2 * MIB + b"b" * 2 * MIB).hexdigest()
    assert ("Content-Length" in stack.service.requests[-1].headers) is not is_chunked


async def test_a_compressed_body_passes_untouched(stack: Any) -> None:
    async def raw(request: web.Request) -> web.Response:
        return web.json_response({"encoding": request.headers["Content-Encoding"], "body": (await request.json())["n"]})

    stack.service.on("/project", raw)
    headers = stack.auth() | {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with stack.client.post("/project", data=gzip.compress(b'{"n": 7}'), headers=headers) as answer:
        assert await answer.json() == {"encoding": "gzip", "body": 7}


async def test_a_compressed_answer_passes_untouched(stack: Any) -> None:
    packed = gzip.compress(b"plain")

    async def compressed(_request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    stack.service.on("/project", compressed)
    async with stack.client.get("/project", headers=stack.auth()) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert await answer.read() == packed


async def test_ranges_and_large_downloads(stack: Any, tmp_path: Any) -> None:
    content = bytes(range(256)) * 16 * 1024
    file = tmp_path / "recording.wav"
    file.write_bytes(content)

    async def recording(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(file)

    stack.service.on("/call/1/recording", recording)
    async with stack.client.get("/call/1/recording", headers=stack.auth() | {"Range": "bytes=1000-201000"}) as answer:
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes 1000-201000/{len(content)}"
        assert await answer.read() == content[1000:201001]
    async with stack.client.get("/call/1/recording", headers=stack.auth()) as answer:
        assert answer.headers["Content-Length"] == str(len(content))
        assert await answer.read() == content
    async with stack.client.head("/call/1/recording", headers=stack.auth()) as answer:
        assert answer.headers["Content-Length"] == str(len(content))


async def test_events_are_not_buffered(stack: Any) -> None:
    """The second event is only sent when the client has the first one."""
    send_second = asyncio.Event()

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await send_second.wait()
        await response.write(b"data: 2\n\n")
        return response

    stack.service.on("/events", events)
    async with stack.client.get("/events", headers=stack.auth() | {"Origin": "https://app.example"}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert await asyncio.wait_for(answer.content.readany(), 5) == b"data: 1\n\n"
        send_second.set()
        assert await asyncio.wait_for(answer.content.readany(), 5) == b"data: 2\n\n"
        assert await asyncio.wait_for(answer.content.read(), 5) == b""


async def test_events_may_pause_for_longer_than_other_answers(start: Any) -> None:
    stack = await start(idle_timeout_seconds=0.1)

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(0.4)
        await response.write(b"data: late\n\n")
        return response

    stack.service.on("/events", events)
    async with stack.client.get("/events", headers=stack.auth()) as answer:
        assert await answer.read() == b"data: late\n\n"


@pytest.mark.parametrize("is_answering", [False, True])
async def test_a_client_that_leaves_ends_the_services_work(stack: Any, is_answering: bool) -> None:
    is_over = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if is_answering:
            await response.prepare(request)
        await eventually(lambda: request.transport is None)
        is_over.set()
        return response

    stack.service.on("/events", never)
    asking = asyncio.create_task(stack.client.get("/events", headers=stack.auth()).__aenter__())
    await eventually(lambda: stack.service.count("/events") == 1)
    if is_answering:
        (await asking).close()
    else:
        asking.cancel()
    await asyncio.wait_for(is_over.wait(), 5)


async def test_redirects_and_cookies_are_the_clients_business(stack: Any) -> None:
    async def redirect(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "https://elsewhere.example/", "Set-Cookie": "a=1"})

    url = "/call/1/recording"
    stack.service.on(url, redirect)
    async with stack.client.get(url, headers=stack.auth(), allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "https://elsewhere.example/")
        assert answer.headers["Set-Cookie"] == "a=1"
    async with stack.client.get(url, headers=stack.auth(), allow_redirects=False):
        assert "Cookie" not in stack.service.requests[-1].headers


async def test_an_answer_without_body_has_none(stack: Any) -> None:
    async def gone(_request: web.Request) -> web.Response:
        return web.Response(status=204)

    stack.service.on("/do-not-call/+12025550100", gone)
    async with stack.client.delete("/do-not-call/+12025550100", headers=stack.auth()) as answer:
        assert (answer.status, await answer.read()) == (204, b"")


async def test_the_services_error_passes_as_it_is(stack: Any) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"code": "own"}, status=409, content_type=request.headers["Accept"])

    stack.service.on("/project", refuse)
    async with stack.client.get("/project", headers=stack.auth() | {"Accept": "application/problem+json"}) as answer:
        assert (answer.status, answer.content_type) == (409, "application/problem+json")


async def test_an_http_1_0_client_gets_a_whole_answer(stack: Any) -> None:
    async def chunked(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 100_000)
        return response

    stack.service.on("/project", chunked)
    token = stack.service.token()
    raw = await stack.raw(f"GET /project HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200")
    assert body == b"x" * 100_000
