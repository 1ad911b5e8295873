"""Log-in, refresh and the end of sessions."""

import asyncio
from datetime import timedelta
from typing import Any

import jwt
import orjson
import pytest

from shared.clock import rfc3339
from shared.tokens import Principal

ADA = {"email": "ada@example.com", "password": "correct horse battery"}


async def _claims(auth: Any, token: str) -> dict[str, Any]:
    """What a verifier with the public keys reads."""
    published = (await auth.ask("GET", "/.well-known/jwks.json")).body
    key_id = jwt.get_unverified_header(token)["kid"]
    key = next(key for key in jwt.PyJWKSet.from_dict(published) if key.key_id == key_id)
    options = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="talkstack-api", issuer="talkstack", options=options)
    return dict(claims)


async def test_login_answers_as_documented(auth: Any) -> None:
    await auth.sign_up()
    answer = await auth.post("/auth/login", ADA)
    assert answer.status == 200
    body = answer.body
    assert set(body) == {
        "message",
        "status",
        "token",
        "refreshToken",
        "resfreshToken",
        "expirationTime",
        "user",
        "loginStatus",
    }
    assert (body["message"], body["loginStatus"]) == ("successfully logged in.", 7)
    assert body["refreshToken"] == body["resfreshToken"]
    assert body["user"]["email"] == ADA["email"]


async def test_the_access_token_is_an_rfc_9068_token_of_two_hours(auth: Any) -> None:
    user = await auth.sign_up()
    token = (await auth.post("/auth/login", ADA)).body["token"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    claims = await _claims(auth, token)
    assert set(claims) == {"iss", "aud", "sub", "sid", "scope", "jti", "iat", "exp"}
    assert claims["sub"] == user.user_id
    assert claims["exp"] - claims["iat"] == 2 * 3600


async def test_wrong_password_and_stranger_get_the_same_answer(auth: Any) -> None:
    await auth.sign_up()
    wrong = await auth.post("/auth/login", {**ADA, "password": "incorrect"})
    stranger = await auth.post("/auth/login", {**ADA, "email": "bob@example.com"})
    for answer in (wrong, stranger):
        answer.body.pop("request_id")
    assert (wrong.status, wrong.body) == (stranger.status, stranger.body)
    assert (wrong.status, wrong.body["code"], wrong.body["loginStatus"]) == (401, "invalid_credentials", 4)


async def test_an_unverified_account_cannot_log_in(auth: Any) -> None:
    await auth.sign_up(is_verified=False)
    answer = await auth.post("/auth/login", ADA)
    assert (answer.status, answer.body["code"], answer.body["loginStatus"]) == (401, "email_not_verified", 2)
    wrong = await auth.post("/auth/login", {**ADA, "password": "incorrect"})
    assert wrong.body["code"] == "invalid_credentials"


@pytest.mark.parametrize(
    ("body", "login_status"),
    [({}, 0), ({"email": ADA["email"]}, 0), ({"password": "x"}, 0), ({"email": "ada", "password": "x"}, 9)],
)
async def test_login_names_missing_and_malformed_fields(auth: Any, body: dict[str, str], login_status: int) -> None:
    answer = await auth.post("/auth/login", body)
    assert (answer.status, answer.body["loginStatus"]) == (400, login_status)


async def test_guessing_from_one_place_is_slowed_down_and_the_owner_elsewhere_is_not(auth: Any) -> None:
    await auth.sign_up()
    wrong = {**ADA, "password": "incorrect"}
    statuses = [(await auth.post("/auth/login", wrong, ip="203.0.113.9")).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    assert (await auth.post("/auth/login", ADA, ip="203.0.113.9")).status == 429
    assert (await auth.post("/auth/login", ADA)).status == 200
    auth.clock.advance(seconds=1)
    assert (await auth.post("/auth/login", ADA, ip="203.0.113.9")).status == 200


async def test_guessing_from_everywhere_cannot_lock_the_owner_out(auth: Any) -> None:
    await auth.sign_up()
    await auth.db.execute(
        "UPDATE throttles SET attempts = 100, blocked_until = $1", auth.clock.now() + timedelta(days=1)
    )
    assert (await auth.post("/auth/login", ADA, ip="203.0.113.9")).status == 429
    assert (await auth.post("/auth/login", ADA)).status == 200


async def test_guesses_at_the_same_moment_are_all_counted(auth: Any) -> None:
    wrong = {**ADA, "password": "incorrect"}
    answers = await asyncio.gather(*(auth.post("/auth/login", wrong) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [401] * 10 + [429] * 10


async def test_of_more_than_a_hundred_sessions_those_used_least_lately_end(auth: Any) -> None:
    ada, bob = await auth.sign_up(), await auth.sign_up("bob@example.com")
    await auth.db.execute(
        """
        INSERT INTO sessions (id, user_id, ip, user_agent, created_at, last_used_at, expires_at, network)
        SELECT gen_random_uuid(), $1, '', '', now(), now() - n * interval '1 hour', now() + interval '1 day', ''
        FROM generate_series(1, 101) AS n
        """,
        ada.user_id,
    )
    assert (await auth.post("/auth/login", ADA)).status == 200
    ages = "SELECT round(extract(epoch FROM now() - last_used_at) / 3600) FROM sessions WHERE user_id = $1"
    ended = await auth.db.fetch(f"{ages} AND revoked_at IS NOT NULL", ada.user_id)
    assert sorted(int(row["round"]) for row in ended) == [99, 100, 101]
    assert (await auth.event("auth.session.revoked")).data["reason"] == "too_many_sessions"
    assert len((await auth.ask("GET", "/user/sessions", user=bob)).body["data"]) == 1


async def test_refresh_rotates(auth: Any) -> None:
    await auth.sign_up()
    first = (await auth.post("/auth/login", ADA)).body
    auth.clock.advance(hours=2)
    answer = await auth.post("/auth/refresh-token", {"refreshToken": first["refreshToken"]})
    assert answer.status == 200
    assert set(answer.body) == {"message", "status", "token", "refreshToken", "resfreshToken", "expirationTime"}
    assert answer.body["refreshToken"] != first["refreshToken"]
    assert (await _claims(auth, answer.body["token"]))["sid"] == (await _claims(auth, first["token"]))["sid"]


async def test_a_lost_answer_may_be_asked_for_again(auth: Any) -> None:
    await auth.sign_up()
    old = {"refreshToken": (await auth.post("/auth/login", ADA)).body["refreshToken"]}
    answers = await asyncio.gather(*(auth.post("/auth/refresh-token", old) for _ in range(5)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["refreshToken"] for answer in answers}) == 1
    new = {"refreshToken": answers[0].body["refreshToken"]}
    assert (await auth.post("/auth/refresh-token", new)).status == 200


async def test_reuse_ends_the_family_although_the_request_fails(auth: Any) -> None:
    user = await auth.sign_up()
    old = {"refreshToken": (await auth.post("/auth/login", ADA)).body["refreshToken"]}
    new = {"refreshToken": (await auth.post("/auth/refresh-token", old)).body["refreshToken"]}
    auth.clock.advance(seconds=31)
    reused = await auth.post("/auth/refresh-token", old)
    assert (reused.status, reused.body["code"]) == (401, "refresh_token_reused")
    assert (await auth.post("/auth/refresh-token", new)).body["code"] == "invalid_refresh_token"
    event = await auth.event("auth.session.revoked")
    assert (event.tenant, event.data["reason"]) == (user.user_id, "refresh_token_reused")
    assert "refresh token" in await auth.mail(ADA["email"], "signed out")
    again = await auth.post("/auth/refresh-token", old)
    assert again.body["code"] == "invalid_refresh_token"


async def test_a_repeat_after_the_successor_was_used_is_reuse(auth: Any) -> None:
    await auth.sign_up()
    old = {"refreshToken": (await auth.post("/auth/login", ADA)).body["refreshToken"]}
    new = {"refreshToken": (await auth.post("/auth/refresh-token", old)).body["refreshToken"]}
    await auth.post("/auth/refresh-token", new)
    assert (await auth.post("/auth/refresh-token", old)).body["code"] == "refresh_token_reused"


async def test_refresh_refuses_missing_unknown_and_expired_tokens(auth: Any) -> None:
    await auth.sign_up()
    assert (await auth.post("/auth/refresh-token", {})).status == 400
    assert (await auth.post("/auth/refresh-token", {"refreshToken": "nonsense"})).status == 401
    token = {"refreshToken": (await auth.post("/auth/login", ADA)).body["refreshToken"]}
    auth.clock.advance(days=30)
    assert (await auth.post("/auth/refresh-token", token)).status == 401


async def test_a_session_ends_even_when_it_is_used(auth: Any) -> None:
    await auth.sign_up()
    token = (await auth.post("/auth/login", ADA)).body["refreshToken"]
    statuses = []
    for _ in range(7):
        auth.clock.advance(days=29)
        answer = await auth.post("/auth/refresh-token", {"refreshToken": token})
        statuses.append(answer.status)
        token = answer.body.get("refreshToken", token)
    assert statuses == [200] * 6 + [401]


async def test_the_refresh_of_a_user_who_is_gone_says_so(auth: Any) -> None:
    await auth.sign_up()
    token = {"refreshToken": (await auth.post("/auth/login", ADA)).body["refreshToken"]}
    await auth.db.execute("DELETE FROM users")
    answer = await auth.post("/auth/refresh-token", token)
    assert (answer.status, answer.body["code"]) == (404, "user_not_found")


async def test_logout_ends_the_session_once(auth: Any) -> None:
    user = await auth.sign_up()
    assert (await auth.post("/auth/logout", user=user)).status == 204
    assert (await auth.event("auth.session.revoked")).data["session_id"] == user.session_id
    assert (await auth.post("/auth/logout", user=user)).status == 404
    assert (await auth.post("/auth/logout")).status == 401
    by_key = Principal(user.user_id, "api_key")
    assert (await auth.post("/auth/logout", user=by_key)).body["code"] == "token_required"


async def test_sessions_are_listed_and_ended_by_their_owner_only(auth: Any) -> None:
    ada, bob = await auth.sign_up(), await auth.sign_up("bob@example.com")
    other = await auth.log_in()
    listed = (await auth.ask("GET", "/user/sessions", user=ada)).body["data"]
    assert [session["id"] for session in listed] == [other.session_id, ada.session_id]
    assert [session["is_current"] for session in listed] == [False, True]
    assert (listed[0]["ip"], listed[0]["user_agent"]) == ("198.51.100.7", "tests")
    path = f"/user/sessions/{other.session_id}"
    assert (await auth.ask("DELETE", path, user=bob)).status == 404
    assert (await auth.ask("DELETE", "/user/sessions/nonsense", user=ada)).status == 404
    assert (await auth.ask("DELETE", path, user=ada)).status == 204
    assert len((await auth.ask("GET", "/user/sessions", user=ada)).body["data"]) == 1


async def test_all_other_sessions_are_ended_at_once(auth: Any) -> None:
    ada, bob = await auth.sign_up(), await auth.sign_up("bob@example.com")
    others = {(await auth.log_in()).session_id for _ in range(2)}
    assert (await auth.ask("DELETE", "/user/sessions", user=ada)).status == 204
    rows = await auth.db.fetch("SELECT data FROM outbox WHERE type = 'auth.session.revoked'")
    assert {row["data"]["session_id"] for row in rows} == others
    for user in (ada, bob):
        assert len((await auth.ask("GET", "/user/sessions", user=user)).body["data"]) == 1


async def test_a_user_agent_of_strange_bytes_is_kept_as_far_as_it_is_text(auth: Any) -> None:
    """aiohttp decodes them as surrogates, on which the Postgres driver failed: a 500 for a legal request."""
    await auth.sign_up()
    body = orjson.dumps(ADA)
    head = [
        b"POST /auth/login HTTP/1.1",
        b"Host: auth",
        b"Connection: close",
        b"Content-Type: application/json",
        b"User-Agent: \xff\xfe\xc3\xbc",
        b"X-Internal-Token: " + auth.tokens.sign(None).encode(),
        b"Content-Length: %d" % len(body),
    ]
    reader, writer = await asyncio.open_connection(auth.client.host, auth.client.port)
    writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert await auth.db.fetchval("SELECT user_agent FROM sessions ORDER BY id DESC LIMIT 1") == "??ü"


async def test_neighbours_in_one_ipv6_network_are_throttled_together(auth: Any) -> None:
    wrong = {**ADA, "password": "incorrect"}
    statuses = [(await auth.post("/auth/login", wrong, ip=f"2001:db8:1:2::{number}")).status for number in range(11)]
    assert statuses == [401] * 10 + [429]
    assert (await auth.post("/auth/login", wrong, ip="2001:db8:1:3::1")).status == 401


async def test_gateways_learn_which_sessions_were_ended_and_since_when(auth: Any) -> None:
    await auth.sign_up()
    first, second = [await auth.log_in() for _ in range(2)]
    await auth.ask("POST", "/auth/logout", user=first)
    auth.clock.advance(minutes=5)
    later = rfc3339(auth.clock.now())
    await auth.ask("POST", "/auth/logout", user=second)
    path = "/internal/sessions/revoked?since="
    gateway = Principal("gateway", "service")
    everything = await auth.ask("GET", f"{path}2026-01-01T00:00:00Z", user=gateway)
    assert everything.body == {"session_ids": [second.session_id, first.session_id]}
    assert (await auth.ask("GET", path + later, user=gateway)).body == {"session_ids": [second.session_id]}
    assert (await auth.ask("GET", path + later, user=first)).status == 401
    assert (await auth.ask("GET", f"{path}yesterday", user=gateway)).status == 400
