"""What the gateway answers itself: paths, errors, CORS, documents, health, revocations over RabbitMQ."""

import asyncio
from typing import Any

import aio_pika
import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web
from yarl import URL

from gateway.access_tokens import AccessTokens
from gateway.api_keys import ApiKeys
from gateway.revocations import Revocations
from gateway.streams import OpenStreams
from shared.amqp import AmqpBus
from shared.clock import SystemClock
from shared.health import HEALTH
from shared.http import DRAIN_HOOKS
from shared.testing.events import make_event
from shared.testing.waiting import eventually


async def ok(_request: web.Request) -> web.Response:
    return web.json_response({"status": "success"})


@pytest.mark.parametrize(
    "path", ["/", "/nowhere", "/internal/api-keys/verify", "/%69nternal/x", "/projects", "/Project"]
)
async def test_what_is_not_ours_is_404_even_with_credentials(stack: Any, path: str) -> None:
    before = len(stack.service.requests)
    async with stack.client.get(URL(stack.url + path, encoded=True), headers=stack.auth()) as answer:
        body = await answer.json()
        assert (answer.status, body["status"], body["code"]) == (404, "error", "not_found")
        assert body["request_id"] == answer.headers["X-Request-Id"]
    assert len(stack.service.requests) == before


@pytest.mark.parametrize(
    "target",
    [
        "/project/../internal/x",
        "/project/%2e%2e/internal/x",
        "/project/a%2Fb",
        "/project/a%5cb",
        "/project/a\\b",
        "/project/%00",
        "/project//x",
        "//project",
        "/project/%zz",
        "/project/%ff",
        "/project/\u00fc",
        "project",
    ],
)
async def test_paths_that_two_readers_may_read_differently_are_refused(stack: Any, target: str) -> None:
    before = len(stack.service.requests)
    authorization = f"Authorization: Bearer {stack.service.token()}"
    answer = await stack.raw(
        f"GET {target} HTTP/1.1\r\nHost: x\r\n{authorization}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.split()[1] == b"400"
    assert len(stack.service.requests) == before


async def test_errors_are_problem_details_on_request(stack: Any) -> None:
    async with stack.client.get("/project", headers={"Accept": "application/problem+json"}) as answer:
        body = await answer.json()
        assert (answer.status, answer.content_type) == (401, "application/problem+json")
    assert (body["type"], body["status"], body["code"]) == ("urn:talkstack:error:unauthorized", 401, "unauthorized")


async def test_other_methods_are_refused(stack: Any) -> None:
    async with stack.client.request("PROPFIND", "/project", headers=stack.auth()) as answer:
        assert (answer.status, (await answer.json())["code"]) == (405, "method_not_allowed")
        assert "PATCH" in answer.headers["Allow"]


async def test_a_preflight_needs_no_credentials_and_reaches_no_service(stack: Any) -> None:
    before = len(stack.service.requests)
    preflight = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    async with stack.client.options("/project", headers=preflight) as answer:
        assert answer.status == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower()
        assert "Access-Control-Allow-Credentials" not in answer.headers
    assert {"authorization", "x-api-key", "content-type", "idempotency-key"} <= set(allowed.split(", "))
    assert len(stack.service.requests) == before


async def test_scripts_may_read_errors_too(stack: Any) -> None:
    async with stack.client.get("/project", headers={"Origin": "https://app.example"}) as answer:
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (401, "*")
        assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"]


async def test_only_listed_origins_are_allowed(start: Any) -> None:
    stack = await start(cors_origins="https://app.example, https://other.example")

    async def careless(_request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Access-Control-Allow-Origin": "*", "Vary": "Accept"})

    stack.service.on("/project", careless)
    async with stack.client.get("/project", headers=stack.auth() | {"Origin": "https://other.example"}) as answer:
        assert answer.headers.getall("Access-Control-Allow-Origin") == ["https://other.example"]
        assert answer.headers.getall("Vary") == ["Accept", "Origin"]
    async with stack.client.get("/project", headers=stack.auth() | {"Origin": "https://evil.example"}) as answer:
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert "Origin" in answer.headers.getall("Vary")


OPERATION = {"operationId": "get_call", "responses": {}}


async def test_the_documents_of_all_services_are_one(start: Any) -> None:
    stack = await start(paths={"/call/{call_id}": {"get": OPERATION}})

    async def is_there() -> bool:
        async with stack.client.get("/openapi.json") as answer:
            return answer.status == 200

    await eventually(is_there)
    async with stack.client.get("/openapi.json") as answer:
        body = await answer.json()
    assert (body["openapi"], body["info"]["title"]) == ("3.1.0", "Talkstack")
    assert body["paths"]["/call/{call_id}"]["get"]["operationId"].endswith("get_call")


async def test_the_page_of_the_documents_needs_nothing_from_elsewhere(start: Any) -> None:
    operation = OPERATION | {"tags": ["Calls"], "summary": "Read a <call>.", "security": []}
    stack = await start(paths={"/call/{call_id}": {"get": operation}})

    async def are_there() -> bool:
        for path in ("/openapi.json", "/asyncapi.json"):
            async with stack.client.get(path) as answer:
                if answer.status != 200:
                    return False
        return True

    await eventually(are_there)
    async with stack.client.get("/docs") as answer:
        html = await answer.text()
        assert (answer.status, answer.content_type) == (200, "text/html")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "/call/{call_id}" in html
    assert "Read a &lt;call&gt;." in html
    assert "It is over." in html
    async with stack.client.get("/asyncapi.json") as answer:
        assert list((await answer.json())["channels"]) == ["call.ended"]


async def test_the_document_is_whole_or_unavailable(start: Any, refusing_url: str) -> None:
    stack = await start(call_url=refusing_url)
    async with stack.client.get("/openapi.json") as answer:
        assert answer.status == 503
        assert "call" in (await answer.json())["message"]


async def test_metrics_count_by_the_pattern_of_the_path(start: Any) -> None:
    stack = await start(paths={"/call/{call_id}": {"get": OPERATION}})
    stack.service.on("/call/123", ok)
    await eventually(lambda: stack.service.count("/openapi.json") == 3)
    for path in ("/call/123", "/call/456/unknown"):
        async with stack.client.get(path, headers=stack.auth()):
            pass
    async with stack.client.get("/metrics") as answer:
        assert "RateLimit" in answer.headers  # to answer it is work
        text = await answer.text()
    assert 'talkstack_http_requests_total{method="GET",route="/call/{call_id}",status="200"}' in text
    assert 'talkstack_http_requests_total{method="GET",route="/call/…",status="404"}' in text
    assert "/call/123" not in text
    assert "/456" not in text


async def test_a_drain_ends_streams_so_that_clients_go_elsewhere(stack: Any) -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await eventually(lambda: request.transport is None)
        return response

    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        await socket.receive()
        return socket

    stack.service.on("/events", events)
    stack.service.on("/events/ws", talk)
    async with (
        stack.client.get("/events", headers=stack.auth()) as stream,
        stack.client.ws_connect("/events/ws", headers=stack.auth()) as socket,
    ):
        assert await stream.content.readany() == b"data: 1\n\n"
        assert await socket.receive_str() == "hello"
        stack.app[HEALTH].is_draining = True
        draining = asyncio.gather(*(hook() for hook in stack.app[DRAIN_HOOKS]))
        assert await asyncio.wait_for(stream.content.read(), 5) == b""
        goodbye = await socket.receive(timeout=5)
        assert (goodbye.type, goodbye.data) == (WSMsgType.CLOSE, 1001)
        await asyncio.wait_for(draining, 5)
    # Who comes all the same, on a connection that was open, is told to go elsewhere, and its stream ends at once.
    async with stack.client.get("/events", headers=stack.auth()) as late:
        assert late.headers["Connection"] == "close"
        await asyncio.wait_for(late.content.read(), 5)


async def test_websockets_pass_messages_codes_and_protocols_both_ways(stack: Any) -> None:
    closed_with: list[int | None] = []

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=["frames.v2"])
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data.upper())
            else:
                await socket.send_bytes(message.data[::-1])
        closed_with.append(socket.close_code)
        return socket

    stack.service.on("/events/ws", echo)
    protocols = ("frames.v1", "frames.v2")
    async with stack.client.ws_connect("/events/ws?x=1", headers=stack.auth(), protocols=protocols) as socket:
        assert socket.protocol == "frames.v2"
        await socket.send_str("hello")
        assert await socket.receive_str(timeout=5) == "HELLO"
        await socket.send_bytes(b"\x00" * 70_000 + b"\x01")
        assert await socket.receive_bytes(timeout=5) == b"\x01" + b"\x00" * 70_000
        await socket.close(code=4001)
    await eventually(lambda: bool(closed_with))
    assert closed_with == [4001]
    assert stack.service.principal().user_id == "user-1"


async def test_a_websocket_that_the_service_closes_is_closed_with_its_code(stack: Any) -> None:
    async def close(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close(code=4009)
        return socket

    stack.service.on("/events/ws", close)
    async with stack.client.ws_connect("/events/ws", headers=stack.auth()) as socket:
        assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
        assert socket.close_code == 4009


@pytest.mark.parametrize(("is_known", "status"), [(True, 401), (False, 404)])
async def test_a_websocket_is_refused_as_any_request(stack: Any, is_known: bool, status: int) -> None:
    headers = {} if is_known else stack.auth()
    with pytest.raises(WSServerHandshakeError) as refused:
        await stack.client.ws_connect("/events/ws", headers=headers)
    assert refused.value.status == status


@pytest.mark.parametrize(("status", "seen"), [(400, 400), (409, 409), (410, 410), (422, 422), (503, 503), (500, 502)])
async def test_a_service_that_refuses_a_websocket_says_why(stack: Any, status: int, seen: int) -> None:
    async def refuse(_request: web.Request) -> web.Response:
        return web.json_response({}, status=status)

    stack.service.on("/events/ws", refuse)
    with pytest.raises(WSServerHandshakeError) as refused:
        await stack.client.ws_connect("/events/ws", headers=stack.auth())
    assert refused.value.status == seen


async def test_half_a_handshake_is_400(stack: Any) -> None:
    headers = stack.auth() | {"Connection": "upgrade", "Upgrade": "websocket"}
    async with stack.client.get("/events/ws", headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (400, "invalid_request")


async def test_revocations_arrive_over_rabbitmq_in_each_process(rabbitmq_server: str, amqp_prefix: str) -> None:
    bus = await AmqpBus.connect(rabbitmq_server, prefix=amqp_prefix)
    revoked: list[str] = []

    class Recorder(ApiKeys):
        def revoke(self, key_sha256: str) -> None:
            revoked.append(key_sha256)

    def revocations() -> Revocations:
        now = SystemClock().now
        return Revocations(AccessTokens(None, "", "", now), Recorder(None, 1, 1, now), OpenStreams(), bus, "")

    processes = [revocations(), revocations()]
    assert [await one.subscribe() for one in processes] == [True, True]
    event = make_event("auth.api_key.revoked", data={"key_sha256": "digest"})
    assert await bus.publish_many([event], 5) == {event.id}
    await eventually(lambda: revoked == ["digest", "digest"], limit_seconds=2)
    await bus.close()


async def test_an_expiring_queue_goes_when_nobody_listens(rabbitmq_server: str, amqp_prefix: str) -> None:
    bus = await AmqpBus.connect(rabbitmq_server, prefix=amqp_prefix)

    async def handle(_event: Any) -> None:
        return None

    await bus.subscribe("own", ["auth.#"], handle, expires_seconds=1)

    async def is_gone() -> bool:
        async with await aio_pika.connect(rabbitmq_server) as connection, connection.channel() as channel:
            try:
                await channel.declare_queue(f"{amqp_prefix}own", passive=True)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                return True
            return False

    assert not await is_gone()
    await bus.close()
    await asyncio.wait_for(eventually(is_gone), 15)
