"""Stream tokens in the query: asked about once, taken out of what is passed on, and never written down."""

import io
from typing import Any

import pytest
import structlog
from aiohttp import web
from yarl import URL

from gateway.access_log import AccessLog
from shared.testing.events import make_event
from shared.testing.waiting import eventually

REDEEM = "/internal/events/redeem-token"
TOKEN = "W6ph5Mm5Pz8GgiULbPgzG37mj9gxnZ1zTqQyS0hX2vk"


class Redeemer:
    """call_service, which knows one token."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.status = 200
        self.owner: Any = {"user_id": "user-3", "credential": "token", "session_id": "session-3"}

    async def __call__(self, request: web.Request) -> web.Response:
        self.asked.append(await request.json())
        known = self.asked[-1]["token"] == TOKEN
        return web.json_response(self.owner if known else {}, status=self.status if known else 404)


@pytest.fixture
def redeemer(stack: Any) -> Redeemer:
    redeemer = Redeemer()
    stack.service.on(REDEEM, redeemer)
    for path in ("/events", "/events/token", "/call/c/events", "/call/c"):
        stack.service.on(path, target_of)
    return redeemer


async def target_of(request: web.Request) -> web.Response:
    return web.json_response({"target": request.raw_path})


async def get(stack: Any, target: str, **options: Any) -> tuple[int, Any]:
    async with stack.client.get(URL(stack.url + target, encoded=True), **options) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize(
    ("target", "passed_on"),
    [
        (f"/events?token={TOKEN}", "/events"),
        (f"/events?types=a.b,c.d&token={TOKEN}&project_id=x%20y", "/events?types=a.b,c.d&project_id=x+y"),
        (f"/events?%74oken={TOKEN}&token=other", "/events"),
        (f"/call/c/events?token={TOKEN}&cursor=4", "/call/c/events?cursor=4"),
    ],
)
async def test_a_token_speaks_for_its_customer_and_goes_no_further(
    stack: Any, redeemer: Redeemer, target: str, passed_on: str
) -> None:
    status, seen = await get(stack, target)
    assert (status, URL(seen["target"])) == (200, URL(passed_on))
    assert [URL(asked["target"]) for asked in redeemer.asked] == [URL(passed_on)]
    principal = stack.service.principal()
    assert (principal.user_id, principal.credential, principal.session_id) == ("user-3", "token", "session-3")
    assert principal.scopes == ("calls:read",)


async def test_a_websocket_is_opened_with_a_token(stack: Any, redeemer: Redeemer) -> None:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.raw_path)
        await socket.close()
        return socket

    stack.service.on("/events/ws", talk)
    async with stack.client.ws_connect(f"/events/ws?token={TOKEN}&call_id=c") as socket:
        assert await socket.receive_str(timeout=10) == "/events/ws?call_id=c"
    assert redeemer.asked == [{"token": TOKEN, "target": "/events/ws?call_id=c"}]


@pytest.mark.parametrize("token", ["A" * 43, "short", "A" * 44, "%C3%BC", "A" * 42 + "="])
async def test_a_token_that_is_none_is_refused(stack: Any, redeemer: Redeemer, token: str) -> None:
    status, answer = await get(stack, f"/events?token={token}")
    assert (status, answer["code"]) == (401, "invalid_stream_token")
    assert stack.service.count("/events") == 0


async def test_a_token_of_a_revoked_session_is_refused(stack: Any, redeemer: Redeemer) -> None:
    await stack.bus.publish_many([make_event("auth.session.revoked", data={"session_id": "session-3"})], 5)

    async def is_refused() -> bool:
        return (await get(stack, f"/events?token={TOKEN}"))[0] == 401

    await eventually(is_refused)
    redeemer.owner = {"user_id": "user-3", "credential": "api_key", "session_id": None}
    assert (await get(stack, f"/events?token={TOKEN}"))[0] == 200


async def test_a_token_of_a_revoked_api_key_is_refused(stack: Any, redeemer: Redeemer) -> None:
    redeemer.owner = {"user_id": "user-3", "credential": "api_key", "session_id": None, "key_sha256": "digest"}
    assert (await get(stack, f"/events?token={TOKEN}"))[0] == 200
    await stack.bus.publish_many([make_event("auth.api_key.revoked", data={"key_sha256": "digest"})], 5)

    async def is_refused() -> bool:
        return (await get(stack, f"/events?token={TOKEN}"))[0] == 401

    await eventually(is_refused)
    redeemer.owner["key_sha256"] = "another"
    assert (await get(stack, f"/events?token={TOKEN}"))[0] == 200


async def test_only_streams_take_tokens_and_only_to_be_read(stack: Any, redeemer: Redeemer) -> None:
    assert (await get(stack, f"/call/c?token={TOKEN}"))[1]["code"] == "unauthorized"
    async with stack.client.post(f"/events/token?token={TOKEN}") as answer:
        assert (await answer.json())["code"] == "unauthorized"
    assert redeemer.asked == []
    assert (await get(stack, f"/call/c?token={TOKEN}", headers=stack.auth()))[1]["target"] == f"/call/c?token={TOKEN}"


@pytest.mark.parametrize(("status", "owner"), [(500, {}), (200, {"user_id": 1}), (401, {})])
async def test_a_strange_answer_about_a_token_opens_nothing(
    stack: Any, redeemer: Redeemer, status: int, owner: Any
) -> None:
    redeemer.status, redeemer.owner = status, owner
    assert (await get(stack, f"/events?token={TOKEN}"))[0] == 502
    assert stack.service.count("/events") == 0


async def test_a_token_is_in_no_log(monkeypatch: pytest.MonkeyPatch, start: Any) -> None:
    async def break_off(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    output = io.BytesIO()
    monkeypatch.setattr("gateway.app.AccessLog", lambda _stdout: AccessLog(output))
    with structlog.testing.capture_logs() as logs:
        stack = await start()
        for redeem, events in ((Redeemer(), target_of), (Redeemer(), break_off), (break_off, target_of)):
            stack.service.on(REDEEM, redeem)
            stack.service.on("/events", events)
            for headers in ({}, {"Upgrade": "websocket"}):
                await get(stack, f"/events?token={TOKEN}", headers=headers)
        await eventually(lambda: output.getvalue().count(b'"/events') == 6)
    assert [entry["event"] for entry in logs].count("instance_failed") >= 2
    assert TOKEN not in f"{output.getvalue().decode()} {logs}"
