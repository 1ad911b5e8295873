"""Clients that send what is no HTTP, what two readers could read differently, too much, too slowly, or too often."""

import asyncio
import gc
import io
import json
import random
import re
from typing import Any

import psutil
import pytest
from aiohttp import web

from gateway.access_log import AccessLog
from shared.testing.waiting import eventually

CHUNKED = "POST /project HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
SMALL = "POST /project HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def echo(request: web.Request) -> web.Response:
    return web.json_response({"bytes": len(await request.read())})


@pytest.fixture(autouse=True)
def project(request: pytest.FixtureRequest) -> None:
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").service.on("/project", echo)


def parsed(answer: bytes) -> tuple[int, dict[str, str], Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body[: int(headers["Content-Length"])])


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /project HTTP/9.9\r\n\r\n",
        b"GET /project\r\n\r\n",
        b"G\xc3\x89T /project HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /project HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /project HTTP/1.1\r\nHost: x\r\nX-Bad: a\x00b\r\n\r\n",
        b"GET /project HTTP/1.1\r\nHost: x\r\nX-Bad: a\rb\r\n\r\n",
        b"GET /project HTTP/1.1\r\nHost: x\r\nX Bad: a\r\n\r\n",
        b"GET /project HTTP/1.1\r\nConnection: close\r\n\r\n",
        b"GET /project HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n",
        b"GET /project HTTP/1.1\r\nHost: x\r\n X-Folded: a\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_our_envelope(stack: Any, nonsense: bytes) -> None:
    status, headers, body = parsed(await stack.raw(nonsense))
    assert (status, body["status"], body["code"]) == (400, "error", "malformed_request")
    assert body["request_id"] == headers["X-Request-Id"]
    assert headers["Content-Type"].startswith("application/json")
    assert "RateLimit" in headers
    assert stack.service.count("/project") == 0


async def test_what_is_no_http_is_logged_and_counted(monkeypatch: pytest.MonkeyPatch, start: Any) -> None:
    output = io.BytesIO()
    monkeypatch.setattr("gateway.app.AccessLog", lambda _stdout: AccessLog(output))
    stack = await start()
    request_id = parsed(await stack.raw(b"GET /+12025550100 secret\r\n\r\n"))[1]["X-Request-Id"].encode()
    await eventually(lambda: request_id in output.getvalue())
    line = next(json.loads(line) for line in output.getvalue().splitlines() if request_id in line)
    assert (line["route"], line["status"]) == ("malformed", 400)
    assert b"2025550100" not in output.getvalue()
    async with stack.client.get("/metrics") as answer:
        assert 'route="malformed",status="400"' in await answer.text()


@pytest.mark.parametrize(
    "head",
    [
        "GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /project HTTP/1.1\r\nHost: x\r\nX-Long: " + "a" * 9000 + "\r\n\r\n",
        "GET /project HTTP/1.1\r\nHost: x\r\n" + "X-Many: a\r\n" * 500 + "\r\n",
    ],
)
async def test_a_head_that_is_too_large_is_431(stack: Any, head: str) -> None:
    status, _, body = parsed(await stack.raw(head.encode()))
    assert (status, body["code"]) == (431, "head_too_large")


@pytest.mark.parametrize("beginning", [b"GET /proj", b"GET /project HTTP/1.1\r\nHost: x\r\nX-Slow: "])
async def test_a_head_that_does_not_come_in_time_is_408(start: Any, beginning: bytes) -> None:
    """Sending a little all the time does not help."""
    stack = await start(head_timeout_seconds=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(beginning)
    reading = asyncio.create_task(reader.read())
    while not reading.done():
        writer.write(b"a")
        await asyncio.wait([reading], timeout=0.02)
    status, _, body = parsed(await reading)
    assert (status, body["code"]) == (408, "request_timeout")
    writer.close()


async def test_the_second_head_of_a_connection_has_to_come_in_time_as_well(start: Any) -> None:
    stack = await start(head_timeout_seconds=0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    for _ in range(2):
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"}")
    writer.write(b"GET /heal")
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_slow_heads_and_idle_connections_disturb_nobody(start: Any) -> None:
    stack = await start(head_timeout_seconds=0.5)
    stack.service.on("/project", echo)
    connections = [await asyncio.open_connection("127.0.0.1", stack.port) for _ in range(200)]
    for number, (_, writer) in enumerate(connections):
        if number % 2:
            writer.write(b"GET /project HTTP/1.1\r\nX: ")
    await asyncio.sleep(0)
    async with stack.client.post("/project", data=b"{}", headers=stack.auth()) as answer:
        assert answer.status == 200
    slow = [reader.readline() for number, (reader, _) in enumerate(connections) if number % 2]
    assert all(b" 408 " in line for line in await asyncio.wait_for(asyncio.gather(*slow), 10))
    idle_reader, idle_writer = connections[0]
    idle_writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in await asyncio.wait_for(idle_reader.readline(), 5)
    for _, writer in connections:
        writer.close()


@pytest.mark.parametrize(
    "framing",
    [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n",
        "Content-Length: 4, 5\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: -4\r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length: 4 4\r\n",
        "Content-Length : 4\r\n",
        "Content-Length:\r\n 4\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
    ],
)
async def test_two_ways_to_see_where_a_body_ends_are_one_too_many(stack: Any, framing: str) -> None:
    """RFC 9112 §6.3. What follows the body would be a second request to one of two readers."""
    smuggled = "GET /project/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    authorization = f"Authorization: Bearer {stack.service.token()}\r\n"
    request = f"POST /project HTTP/1.1\r\nHost: x\r\n{authorization}{framing}\r\n0\r\n\r\n{smuggled}"
    answer = await stack.raw(request.encode())
    assert answer.split()[1] == b"400"
    assert stack.service.count("/project") == stack.service.count("/project/smuggled") == 0


@pytest.mark.parametrize(
    "body",
    [
        "zz\r\nabcd\r\n0\r\n\r\n",
        "-4\r\nabcd\r\n0\r\n\r\n",
        "4\r\nabcdX0\r\n\r\n",
        "4\nabcd\n0\n\n",
        "ffffffffffffffffff\r\nabcd",
        "4;\rx=1\r\nabcd\r\n0\r\n\r\n",
    ],
)
async def test_a_malformed_chunk_is_the_clients_fault(stack: Any, body: str) -> None:
    authorization = f"Authorization: Bearer {stack.service.token()}\r\n"
    answer = await stack.raw((CHUNKED + authorization + "\r\n" + body).encode())
    status, _, envelope = parsed(answer)
    assert (status, envelope["code"]) == (400, "malformed_request")


async def test_nonsense_behind_a_request_does_not_spoil_it(stack: Any) -> None:
    may_answer = asyncio.Event()

    async def wait(_request: web.Request) -> web.Response:
        await may_answer.wait()
        return web.json_response({})

    stack.service.on("/project", wait)
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write(f"{SMALL}Authorization: Bearer {stack.service.token()}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
    await eventually(lambda: stack.service.count("/project") == 1)
    writer.write(b"nonsense\r\n\r\n")
    await writer.drain()
    may_answer.set()
    answer = await asyncio.wait_for(reader.read(), 5)
    assert re.findall(rb"HTTP/1.[01] (\d+)", answer) == [b"200", b"400"]
    writer.close()


async def test_a_chunk_that_breaks_late_does_not_blame_the_service(stack: Any) -> None:
    authorization = f"Authorization: Bearer {stack.service.token()}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    writer.write((CHUNKED + authorization + "\r\n4\r\nabcd\r\n").encode())
    await eventually(lambda: stack.service.count("/project") == 1)
    writer.write(b"nonsense\r\n")
    status, _, envelope = parsed(await asyncio.wait_for(reader.read(), 5))
    assert (status, envelope["code"]) == (400, "malformed_request")
    writer.close()


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "Accept", "X-Own", "Origin", "X-Request-Id"])
async def test_bytes_that_are_no_text_do_not_break_anything(stack: Any, name: str) -> None:
    authorization = b"" if name == "Authorization" else f"Authorization: Bearer {stack.service.token()}\r\n".encode()
    head = f"{SMALL}Connection: close\r\nContent-Length: 2\r\n{name}: ".encode()
    answer = await stack.raw(head + b"Bearer \xc3\xff\xfe\r\n" + authorization + b"\r\n{}")
    assert parsed(answer)[0] in {200, 400, 401}


async def test_an_unknown_expectation_is_no_reason_to_fail(stack: Any) -> None:
    head = f"{SMALL}Authorization: Bearer {stack.service.token()}\r\nExpect: miracles\r\nConnection: close\r\n"
    assert parsed(await stack.raw(f"{head}Content-Length: 2\r\n\r\n{{}}".encode()))[0] == 200
    own = b"GET /health/live HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\nConnection: close\r\n\r\n"
    assert parsed(await stack.raw(own))[0] == 200


async def test_a_client_that_waits_for_100_continue_gets_it(stack: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.port)
    head = f"{SMALL}Authorization: Bearer {stack.service.token()}\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    writer.write(head.encode())
    assert await asyncio.wait_for(reader.readline(), 5) == b"HTTP/1.1 100 Continue\r\n"
    writer.write(b"{}")
    await reader.readline()
    assert b" 200 " in await asyncio.wait_for(reader.readline(), 5)
    writer.close()


async def test_encoded_line_breaks_stay_encoded(stack: Any) -> None:
    target = "/project?name=%0d%0aX-Internal-Token:%20forged"
    head = f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.service.token()}\r\n"
    await stack.raw(f"{head}Connection: close\r\n\r\n".encode())
    assert stack.service.requests[-1].raw_path == target
    assert stack.service.principal().user_id == "user-1"


def _mutated(valid: bytes, chance: random.Random) -> bytes:
    request = bytearray(valid)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(request))
        match chance.randrange(4):
            case 0:
                request[at] = chance.randrange(256)
            case 1:
                del request[at : at + chance.randint(1, 20)]
            case 2:
                request[at:at] = chance.randbytes(chance.randint(1, 20))
            case 3:
                request[at:at] = chance.choice([b"\r\n", b"\r\n\r\n", b"\x00", b"%00", b"/../", b"{", b"\xff" * 40])
        request = request or bytearray(b" ")
    return bytes(request)


async def _status(port: int, request: bytes) -> bytes:
    """The status of the answer; empty when there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(20):
            return (await reader.readline()).partition(b" ")[2][:3]
    except ConnectionResetError:
        return b""
    except TimeoutError:
        raise AssertionError(f"no answer to {request!r}") from None
    finally:
        writer.close()


@pytest.mark.timeout(300)
async def test_ten_thousand_malformed_requests_cause_no_failure_of_ours_and_leave_nothing(start: Any) -> None:
    generous = {"limit_ip": "1000000/1", "limit_user": "1000000/1"}
    stack = await start(head_timeout_seconds=0.1, idle_timeout_seconds=0.1, **generous)

    async def parse(request: web.Request) -> web.Response:
        try:
            return web.json_response(await request.json())
        except ValueError:
            return web.json_response({"code": "malformed_json"}, status=400)

    stack.service.on("/project", parse)
    authorization = f"Authorization: Bearer {stack.service.token()}\r\nConnection: close\r\n"
    valid = [
        f'{SMALL}{authorization}Content-Length: 14\r\n\r\n{{"name": "abc"}}'[:-1].encode(),
        f'{CHUNKED}{authorization}\r\n7\r\n{{"a": 1\r\n1\r\n}}\r\n0\r\n\r\n'.encode(),
        f"GET /project?limit=5 HTTP/1.1\r\nHost: x\r\n{authorization}\r\n".encode(),
    ]
    chance = random.Random(20261125)
    me, seen = psutil.Process(), {}
    resident = [0, 0]
    for half in (0, 1):
        for _ in range(50):
            requests = [_mutated(chance.choice(valid), chance) for _ in range(100)]
            for status in await asyncio.gather(*(_status(stack.port, request) for request in requests)):
                seen[status] = seen.get(status, 0) + 1
        stack.service.requests.clear()
        gc.collect()
        resident[half] = me.memory_info().rss
    assert not {status for status in seen if status.startswith(b"5")}, seen
    assert seen[b"400"] > 1000, seen
    assert seen[b"408"] > 10, seen
    assert seen.get(b"", 0) < 1000, seen
    assert resident[1] - resident[0] < 20 * 2**20
    async with stack.client.get("/health/live") as answer:
        assert answer.status == 200


async def test_answers_tell_the_limits(stack: Any) -> None:
    stack.service.on("/auth/login", echo)
    async with stack.client.get("/project", headers=stack.auth()) as answer:
        assert answer.headers["RateLimit-Policy"] == '"address";q=6000;w=60, "user";q=3000;w=60'
        assert answer.headers["RateLimit"].startswith('"address";r=59')
    async with stack.client.post("/auth/login") as answer:
        assert answer.headers["RateLimit-Policy"] == '"address";q=6000;w=60, "auth";q=120;w=60'
    for path in ("/openapi.json", "/nowhere", "/project"):
        async with stack.client.get(path) as answer:
            assert answer.headers["RateLimit-Policy"] == '"address";q=6000;w=60'
    stack.service.api_keys["tk_live_" + "a" * 49] = {"user_id": "user-1", "key_id": "key-1"}
    async with stack.client.get("/project", headers={"x-api-key": "tk_live_" + "a" * 49}) as answer:
        policies = answer.headers["RateLimit-Policy"]
        assert policies == '"address";q=6000;w=60, "key";q=1500;w=60, "user";q=3000;w=60'


async def _statuses(stack: Any, count: int, path: str = "/project", **options: Any) -> list[int]:
    statuses = []
    for _ in range(count):
        async with stack.client.post(path, **options) as answer:
            statuses.append(answer.status)
            if answer.status == 429:
                assert int(answer.headers["Retry-After"]) >= 1
                assert (await answer.json())["code"] == "rate_limited"
    return statuses


@pytest.mark.parametrize(
    ("limits", "path", "code"),
    [
        ({"limit_ip": "3/3600"}, "/nowhere", 404),
        ({"limit_auth": "3/3600"}, "/auth/login", 200),
        ({"limit_user": "3/3600"}, "/project", 200),
    ],
)
async def test_who_asks_too_often_is_429_and_reaches_no_service(
    start: Any, limits: dict[str, str], path: str, code: int
) -> None:
    stack = await start(**limits)
    stack.service.on("/project", echo)
    stack.service.on("/auth/login", echo)
    assert await _statuses(stack, 5, path, headers=stack.auth()) == [code] * 3 + [429] * 2
    assert stack.service.count(path) in {0, 3}
    async with stack.client.get("/health/live") as answer:
        assert (answer.status, "RateLimit" in answer.headers) == (200, False)


async def test_each_key_has_a_limit_and_its_user_another(start: Any) -> None:
    stack = await start(limit_key="2/3600", limit_user="3/3600")
    stack.service.on("/project", echo)
    keys = ["tk_live_" + letter * 49 for letter in "ab"]
    for number, key in enumerate(keys):
        stack.service.api_keys[key] = {"user_id": "user-1", "key_id": f"key-{number}"}
    assert await _statuses(stack, 3, headers={"x-api-key": keys[0]}) == [200, 200, 429]
    assert await _statuses(stack, 2, headers={"x-api-key": keys[1]}) == [200, 429]
    assert await _statuses(stack, 1, headers=stack.auth()) == [429]
    assert await _statuses(stack, 1, headers=stack.auth(sub="user-2")) == [200]


async def test_behind_a_trusted_proxy_each_address_counts(start: Any) -> None:
    stack = await start(limit_ip="1/3600", trusted_proxies="127.0.0.0/8", is_ready=True)
    for address in ("203.0.113.1", "203.0.113.2", "2001:db8::1"):
        assert await _statuses(stack, 2, "/nowhere", headers={"X-Forwarded-For": address}) == [404, 429]
    assert await _statuses(stack, 1, "/nowhere", headers={"X-Forwarded-For": "2001:db8::2"}) == [429]
