"""API keys: the default one, further ones, and what the gateway is told."""

import asyncio
import hashlib
from datetime import timedelta
from typing import Any

from shared.clock import rfc3339
from shared.testing.waiting import eventually
from shared.tokens import Principal

GATEWAY = Principal("gateway", "service")


async def _verify(auth: Any, key: str) -> Any:
    return await auth.post("/internal/api-keys/verify", {"key": key}, user=GATEWAY)


async def test_a_generated_key_is_verified_and_its_use_is_noted(auth: Any) -> None:
    user = await auth.sign_up()
    answer = await auth.ask("GET", "/user/generate-apikey", user=user)
    assert (answer.status, answer.body["message"]) == (200, "API key successfully generated and updated.")
    verified = await _verify(auth, answer.body["apiKey"])
    assert verified.status == 200
    assert (verified.body["user_id"], verified.body["scopes"], verified.body["expires_at"]) == (
        user.user_id,
        ["*"],
        None,
    )

    async def is_noted() -> bool:
        keys = (await auth.ask("GET", "/user/api-keys", user=user)).body["data"]
        return bool(keys[0]["last_used_at"])

    await eventually(is_noted)
    assert "default" in await auth.mail("ada@example.com", "API key was created")


async def test_a_new_default_key_ends_the_one_before_and_no_other(auth: Any) -> None:
    user = await auth.sign_up()
    further = (await auth.post("/user/api-keys", {"name": "Reporting"}, user=user)).body["key"]
    old = (await auth.ask("GET", "/user/generate-apikey", user=user)).body["apiKey"]
    old_id = (await _verify(auth, old)).body["key_id"]
    new = (await auth.ask("GET", "/user/generate-apikey", user=user)).body["apiKey"]
    assert [(await _verify(auth, key)).status for key in (old, new, further)] == [404, 200, 200]
    event = await auth.event("auth.api_key.revoked")
    digest = hashlib.sha256(old.encode()).hexdigest()
    assert event.data == {"key_id": old_id, "user_id": user.user_id, "key_sha256": digest}


async def test_generating_at_the_same_moment_leaves_one_default_key(auth: Any) -> None:
    user = await auth.sign_up()
    answers = await asyncio.gather(*(auth.ask("GET", "/user/generate-apikey", user=user) for _ in range(6)))
    verified = [(await _verify(auth, answer.body["apiKey"])).status for answer in answers]
    assert sorted(verified) == [200] + [404] * 5


async def test_generating_needs_an_access_token(auth: Any) -> None:
    user = await auth.sign_up()
    by_key = Principal(user.user_id, "api_key")
    assert (await auth.ask("GET", "/user/generate-apikey", user=by_key)).body["code"] == "token_required"
    assert (await auth.ask("GET", "/user/generate-apikey")).status == 401
    gone = Principal("0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f", "token")
    assert (await auth.ask("GET", "/user/generate-apikey", user=gone)).status == 401


async def test_only_services_may_verify(auth: Any) -> None:
    user = await auth.sign_up()
    assert (await auth.post("/internal/api-keys/verify", {"key": "x"}, user=user)).status == 401
    assert (await auth.post("/internal/api-keys/verify", {"key": "x"})).status == 401
    assert (await _verify(auth, "x")).body["code"] == "invalid_api_key"


async def test_a_key_expires(auth: Any) -> None:
    user = await auth.sign_up()
    expires_at = rfc3339(auth.clock.now() + timedelta(days=1))
    created = await auth.post("/user/api-keys", {"name": "A day", "expires_at": expires_at}, user=user)
    assert (created.status, created.body["expires_at"]) == (201, expires_at)
    assert (await _verify(auth, created.body["key"])).status == 200
    auth.clock.advance(days=1)
    assert (await _verify(auth, created.body["key"])).status == 404


async def test_keys_are_listed_without_their_secret_and_deleted_by_their_owner_only(auth: Any) -> None:
    ada, bob = await auth.sign_up(), await auth.sign_up("bob@example.com")
    created = (await auth.post("/user/api-keys", {"name": "Reporting"}, user=ada)).body
    listed = (await auth.ask("GET", "/user/api-keys", user=ada)).body["data"]
    key = created.pop("key")
    assert listed == [created]
    assert key not in str(listed)
    path = f"/user/api-keys/{created['id']}"
    assert (await auth.ask("DELETE", path, user=bob)).status == 404
    assert (await auth.ask("DELETE", "/user/api-keys/nonsense", user=ada)).status == 404
    assert (await auth.ask("DELETE", path, user=ada)).status == 204
    assert (await _verify(auth, key)).status == 404
    assert (await auth.ask("DELETE", path, user=ada)).status == 404


async def test_bad_new_keys_are_unprocessable(auth: Any) -> None:
    user = await auth.sign_up()
    past = rfc3339(auth.clock.now() - timedelta(days=1))
    moments = [past, "2099-01-01", "2099-01-01T00:00:00", "9999-12-31T23:59:59-01:00"]
    ends = [{"name": "x", "expires_at": moment} for moment in moments]
    bodies = [{}, {"name": " "}, {"name": "x", "color": "red"}, *ends]
    answers = [await auth.post("/user/api-keys", body, user=user) for body in bodies]
    assert [answer.status for answer in answers] == [422] * len(bodies)


async def test_there_is_a_limit(auth: Any) -> None:
    user = await auth.sign_up()
    await auth.db.execute(
        """
        INSERT INTO api_keys (id, user_id, name, hash, hint, scopes, is_default, created_at)
        SELECT gen_random_uuid(), $1, 'x', decode(md5(n::text), 'hex'), 'x', '{*}', false, now()
        FROM generate_series(1, 100) AS n
        """,
        user.user_id,
    )
    answer = await auth.post("/user/api-keys", {"name": "one more"}, user=user)
    assert (answer.status, answer.body["code"]) == (409, "too_many_api_keys")
