"""Who may pass: access tokens, API keys, and when they are over."""

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.events import Event
from shared.testing.events import make_event
from shared.testing.waiting import eventually

KEY = "tk_live_" + "a" * 49
OWNER = {"user_id": "user-2", "key_id": "key-2", "scopes": ["*"], "expires_at": None}
VERIFY = "/internal/api-keys/verify"
STREAM_TOKEN = "W6ph5Mm5Pz8GgiULbPgzG37mj9gxnZ1zTqQyS0hX2vk"


async def ok(_request: web.Request) -> web.Response:
    return web.json_response({"status": "success"})


def revocation_of(key: str) -> Event:
    return make_event("auth.api_key.revoked", data={"key_sha256": hashlib.sha256(key.encode()).hexdigest()})


async def status_of(
    stack: Any, headers: dict[str, str], method: str = "GET", path: str = "/project"
) -> tuple[int, str]:
    async with stack.client.request(method, path, headers=headers) as answer:
        body = await answer.json()
        return answer.status, body.get("code", "")


@pytest.fixture(autouse=True)
def project(stack: Any) -> None:
    stack.service.on("/project", ok)


async def test_without_credentials_nothing_but_public_paths_is_reached(stack: Any) -> None:
    stack.service.on("/auth/login", ok)
    async with stack.client.get("/project") as answer:
        assert (answer.status, (await answer.json())["code"]) == (401, "unauthorized")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert await status_of(stack, {}, "POST", "/auth/login") == (200, "")
    assert stack.service.principal() is None
    assert await status_of(stack, {}, "POST", "/auth/logout") == (401, "unauthorized")
    assert stack.service.count("/project") == stack.service.count("/auth/logout") == 0


async def test_public_paths_ignore_bad_credentials(stack: Any) -> None:
    stack.service.on("/auth/login", ok)
    bad = {"Authorization": "Bearer nonsense", "x-api-key": "nonsense"}
    assert await status_of(stack, bad, "POST", "/auth/login") == (200, "")


async def test_a_token_is_verified_here_and_not_asked_about(stack: Any) -> None:
    before = len(stack.service.requests)
    headers = stack.auth()
    for _ in range(3):
        assert await status_of(stack, headers) == (200, "")
    assert [request.path for request in stack.service.requests[before:]] == ["/project"] * 3


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody else"},
        {"aud": "another api"},
        {"typ": "JWT"},
        {"exp": datetime.now(UTC) - timedelta(seconds=10)},
        {"exp": "soon"},
        {"sub": None},
    ],
)
async def test_tokens_that_are_refused(stack: Any, changes: dict[str, Any]) -> None:
    assert await status_of(stack, stack.auth(**changes)) == (401, "invalid_token")


@pytest.mark.parametrize(
    "text", ["Bearer", "Bearer ", "Basic dTpw", "Bearer a.b.c", "Bearer " + "a" * 5000, "Bearer ü"]
)
async def test_what_is_no_token_is_refused(stack: Any, text: str) -> None:
    assert await status_of(stack, {"Authorization": text}) == (401, "invalid_token")


async def test_other_algorithms_and_keys_are_refused(stack: Any) -> None:
    """The public key must not pass as an HMAC secret, nor `none` as a signature."""
    claims = jwt.decode(stack.service.token(), options={"verify_signature": False})
    headers = {"kid": "first", "typ": "at+jwt"}
    public = stack.service.keys["first"].public_key().public_bytes_raw()
    forged = [
        jwt.encode(claims, public, "HS256", headers=headers),
        jwt.encode(claims, None, "none", headers=headers),
        jwt.encode(claims, Ed25519PrivateKey.generate(), "EdDSA", headers=headers),
    ]
    for token in forged:
        assert await status_of(stack, {"Authorization": f"Bearer {token}"}) == (401, "invalid_token")


async def test_a_token_dies_when_it_expires_although_it_was_verified(stack: Any) -> None:
    headers = stack.auth(exp=datetime.now(UTC) + timedelta(seconds=4))
    assert await status_of(stack, headers) == (200, "")

    async def is_refused() -> bool:
        return await status_of(stack, headers) == (401, "invalid_token")

    await eventually(is_refused)


async def test_a_token_from_a_clock_that_is_ahead_is_taken(stack: Any) -> None:
    """Or a clock that is wrong at auth_service would lock out everybody who logs in; `exp` is what counts."""
    ahead = datetime.now(UTC) + timedelta(minutes=5)
    assert await status_of(stack, stack.auth(iat=ahead, exp=ahead + timedelta(hours=2))) == (200, "")


async def test_a_new_signing_key_is_fetched_when_it_is_first_seen(start: Any) -> None:
    stack = await start(jwks_min_interval_seconds=0)
    stack.service.on("/project", ok)
    stack.service.keys["second"] = Ed25519PrivateKey.generate()
    answers = await asyncio.gather(*(status_of(stack, stack.auth(key_id="second")) for _ in range(10)))
    assert answers == [(200, "")] * 10
    assert stack.service.count("/.well-known/jwks.json") == 2


async def test_forged_key_ids_do_not_storm_auth_service(stack: Any) -> None:
    key = Ed25519PrivateKey.generate()
    before = stack.service.count("/.well-known/jwks.json")
    for number in range(20):
        token = jwt.encode({"sub": "x"}, key, "EdDSA", headers={"kid": f"forged-{number}", "typ": "at+jwt"})
        assert (await status_of(stack, {"Authorization": f"Bearer {token}"}))[0] == 401
    assert stack.service.count("/.well-known/jwks.json") - before <= 1


async def test_without_keys_it_is_not_ready_and_does_not_blame_the_token(start: Any, refusing_url: str) -> None:
    stack = await start(auth_url=refusing_url, is_ready=False)
    async with stack.client.get("/health/ready") as answer:
        assert answer.status == 503
        assert (await answer.json())["checks"]["public_keys"] == "UnavailableError"
    async with stack.client.get("/health/live") as answer:
        assert answer.status == 200
    assert await status_of(stack, stack.auth()) == (503, "unavailable")
    assert await status_of(stack, {"x-api-key": KEY}) == (503, "unavailable")


async def test_an_api_key_is_asked_about_once(stack: Any) -> None:
    stack.service.api_keys[KEY] = OWNER
    answers = await asyncio.gather(*(status_of(stack, {"x-api-key": KEY}) for _ in range(10)))
    assert answers == [(200, "")] * 10
    assert stack.service.count(VERIFY) == 1
    principal = stack.service.principal()
    assert (principal.user_id, principal.credential, principal.scopes) == ("user-2", "api_key", ("*",))


async def test_the_gateway_asks_as_itself(stack: Any) -> None:
    await status_of(stack, {"x-api-key": KEY})
    principal = stack.service.principal()
    assert (principal.user_id, principal.credential) == ("gateway", "service")


async def test_an_unknown_api_key_is_asked_about_once(stack: Any) -> None:
    for _ in range(3):
        assert await status_of(stack, {"x-api-key": KEY}) == (401, "invalid_api_key")
    assert stack.service.count(VERIFY) == 1


@pytest.mark.parametrize("key", ["", "short", "x" * 201, "spaces are not allowed", "ü" * 20])
async def test_what_cannot_be_a_key_is_not_asked_about(stack: Any, key: str) -> None:
    assert await status_of(stack, {"x-api-key": key}) == (401, "invalid_api_key")
    assert stack.service.count(VERIFY) == 0


async def test_an_api_key_that_expires_while_it_is_cached_is_refused(stack: Any) -> None:
    stack.service.api_keys[KEY] = OWNER | {"expires_at": (datetime.now(UTC) + timedelta(seconds=3)).isoformat()}
    assert await status_of(stack, {"x-api-key": KEY}) == (200, "")

    async def is_refused() -> bool:
        return await status_of(stack, {"x-api-key": KEY}) == (401, "invalid_api_key")

    await eventually(is_refused)
    assert stack.service.count(VERIFY) == 1


async def test_a_failure_of_auth_service_is_no_verdict_on_the_key(stack: Any) -> None:
    async def broken(_request: web.Request) -> web.Response:
        return web.json_response({"code": "internal_error"}, status=500)

    working = stack.service.handlers[VERIFY]
    stack.service.api_keys[KEY] = OWNER
    stack.service.on(VERIFY, broken)
    assert await status_of(stack, {"x-api-key": KEY}) == (502, "bad_gateway")
    stack.service.on(VERIFY, working)
    assert await status_of(stack, {"x-api-key": KEY}) == (200, "")


async def test_the_access_token_counts_before_the_api_key(stack: Any) -> None:
    stack.service.api_keys[KEY] = OWNER
    assert await status_of(stack, stack.auth() | {"x-api-key": KEY}) == (200, "")
    assert stack.service.principal().user_id == "user-1"
    assert await status_of(stack, {"Authorization": "Bearer x", "x-api-key": KEY}) == (401, "invalid_token")


async def test_a_revoked_session_is_refused_within_a_second(stack: Any) -> None:
    headers, other = stack.auth(), stack.auth(sid="session-2")
    assert await status_of(stack, headers) == (200, "")
    await stack.bus.publish_many([make_event("auth.session.revoked", data={"session_id": "session-1"})], 1)

    async def is_refused() -> bool:
        return await status_of(stack, headers) == (401, "invalid_token")

    await eventually(is_refused, limit_seconds=1)
    assert await status_of(stack, other) == (200, "")


async def endless(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade") == "websocket":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for _message in socket:
            pass
        return socket
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: 1\n\n")
    await asyncio.Event().wait()
    return response


@pytest.mark.parametrize("credential", ["session", "key", "session that is only asked about"])
async def test_streams_end_when_the_credential_that_opened_them_is_over(start: Any, credential: str) -> None:
    """They went on for as long as the client held them."""
    stack = await start(revoked_sessions_seconds=0.05 if "asked" in credential else 600)
    stack.service.api_keys[KEY] = OWNER
    for path in ("/events", "/events/ws"):
        stack.service.on(path, endless)
    mine, others = stack.auth(), stack.auth(sid="session-2")
    if credential == "key":
        mine, over = {"x-api-key": KEY}, revocation_of(KEY)
    else:
        over = make_event("auth.session.revoked", data={"session_id": "session-1"})
    async with (
        asyncio.timeout(10),
        stack.client.get("/events", headers=mine) as events,
        stack.client.ws_connect("/events/ws", headers=mine) as socket,
        stack.client.get("/events", headers=others) as living,
    ):
        assert await living.content.readany() == b"data: 1\n\n"
        if "asked" in credential:
            stack.service.ended_sessions = ["session-1"]
        else:
            await stack.bus.publish_many([over], 1)
        assert await events.content.read() == b"data: 1\n\n"
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert not living.content.at_eof()


async def test_streams_opened_with_tokens_of_an_api_key_end_with_the_key(stack: Any) -> None:
    """Nothing in the stream token said which key it was made with."""
    stack.service.api_keys[KEY] = OWNER
    made_by: list[Any] = []

    async def make(_request: web.Request) -> web.Response:
        made_by.append(stack.service.principal())
        return web.json_response({"token": STREAM_TOKEN, "expiresIn": 60})

    async def redeem(_request: web.Request) -> web.Response:
        maker = made_by[-1]
        owner = {"user_id": maker.user_id, "credential": maker.credential, "session_id": maker.session_id}
        return web.json_response({**owner, "key_sha256": maker.key_sha256})

    stack.service.on("/events/token", make)
    stack.service.on("/internal/events/redeem-token", redeem)
    for path in ("/events", "/events/ws"):
        stack.service.on(path, endless)
    assert await status_of(stack, {"x-api-key": KEY}, "POST", "/events/token") == (200, "")
    async with (
        asyncio.timeout(10),
        stack.client.get(f"/events?token={STREAM_TOKEN}") as events,
        stack.client.ws_connect(f"/events/ws?token={STREAM_TOKEN}") as socket,
        stack.client.get("/events", headers=stack.auth()) as living,
    ):
        assert await living.content.readany() == b"data: 1\n\n"
        await stack.bus.publish_many([revocation_of(KEY)], 1)
        assert await events.content.read() == b"data: 1\n\n"
        assert (await socket.receive()).type is WSMsgType.CLOSE
        assert not living.content.at_eof()


async def test_a_stream_ends_whose_key_was_revoked_while_the_service_was_asked(stack: Any) -> None:
    """It was registered after the revocation, so that nobody ended it."""
    stack.service.api_keys[KEY] = OWNER
    is_over = asyncio.Event()

    async def late(request: web.Request) -> web.StreamResponse:
        await is_over.wait()
        return await endless(request)

    for path in ("/events", "/events/ws"):
        stack.service.on(path, late)

    async def read() -> bytes:
        async with stack.client.get("/events", headers={"x-api-key": KEY}) as events:
            return bytes(await events.content.read())

    async def talk() -> WSMsgType:
        async with stack.client.ws_connect("/events/ws", headers={"x-api-key": KEY}) as socket:
            return (await socket.receive()).type

    async def is_refused() -> bool:
        return await status_of(stack, {"x-api-key": KEY}) == (401, "invalid_api_key")

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        reading, talking = tasks.create_task(read()), tasks.create_task(talk())
        await eventually(lambda: stack.service.count("/events") == stack.service.count("/events/ws") == 1)
        del stack.service.api_keys[KEY]
        await stack.bus.publish_many([revocation_of(KEY)], 1)
        await eventually(is_refused)
        is_over.set()
    assert reading.result() in {b"", b"data: 1\n\n"}
    assert talking.result() is WSMsgType.CLOSE


async def test_a_revoked_api_key_is_refused_within_a_second(stack: Any) -> None:
    stack.service.api_keys[KEY] = OWNER
    assert await status_of(stack, {"x-api-key": KEY}) == (200, "")
    del stack.service.api_keys[KEY]
    await stack.bus.publish_many([revocation_of(KEY)], 1)

    async def is_refused() -> bool:
        return await status_of(stack, {"x-api-key": KEY}) == (401, "invalid_api_key")

    await eventually(is_refused, limit_seconds=1)


async def test_a_gateway_that_starts_knows_which_sessions_have_ended(start: Any) -> None:
    """It was not there when the event came."""
    stack = await start(ended_sessions=["session-1"])
    stack.service.on("/project", ok)
    assert await status_of(stack, stack.auth()) == (401, "invalid_token")
    assert await status_of(stack, stack.auth(sid="session-2")) == (200, "")
    since = next(one for one in stack.service.requests if one.path.endswith("/revoked")).query["since"]
    assert timedelta(hours=2) < datetime.now(UTC) - datetime.fromisoformat(since)


async def test_an_ended_session_whose_event_was_lost_is_refused_soon(start: Any) -> None:
    stack = await start(revoked_sessions_seconds=0.05)
    stack.service.on("/project", ok)
    headers = stack.auth()
    assert await status_of(stack, headers) == (200, "")
    stack.service.ended_sessions.append("session-1")

    async def is_refused() -> bool:
        return await status_of(stack, headers) == (401, "invalid_token")

    await eventually(is_refused, limit_seconds=5)


async def test_it_is_not_ready_before_it_knows_which_sessions_have_ended(start: Any) -> None:
    stack = await start(ended_sessions=None, is_ready=False)
    await eventually(lambda: stack.service.count("/internal/sessions/revoked") >= 2)
    async with stack.client.get("/health/ready") as answer:
        assert answer.status == 503
        assert (await answer.json())["checks"]["ended_sessions"] == "UnavailableError"
