"""Sign-up and API keys under an Idempotency-Key, and what narrowed keys may do."""

import asyncio
from typing import Any

import pytest

from shared.tokens import Principal

KEY = {"Idempotency-Key": "a client's own number 17"}
ADA = {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}


async def test_a_sign_up_whose_answer_was_lost_can_be_sent_again(auth: Any) -> None:
    first = await auth.post("/auth/signup", ADA, **KEY)
    again = await auth.post("/auth/signup", ADA, **KEY)
    assert (first.status, again.status, again.body) == (200, 200, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await auth.post("/auth/signup", {**ADA, "password": "staple for the horse"}, **KEY)
    assert (other.status, other.body["code"]) == (422, "idempotency_key_reused")
    assert await auth.db.fetchval("SELECT count(*) FROM users") == 1


async def test_twenty_equal_requests_at_once_make_one_api_key(auth: Any) -> None:
    user = await auth.sign_up()
    body = {"name": "Reporting"}
    answers = await asyncio.gather(*(auth.post("/user/api-keys", body, user=user, **KEY) for _ in range(20)))
    assert {answer.status for answer in answers} <= {201, 409}
    assert len({answer.body["key"] for answer in answers if answer.status == 201}) == 1
    assert len((await auth.ask("GET", "/user/api-keys", user=user)).body["data"]) == 1


async def test_a_kept_answer_shows_neither_password_nor_key(auth: Any) -> None:
    user = await auth.sign_up()
    await auth.post("/auth/signup", {**ADA, "email": "bob@example.com"}, **KEY)
    key = (await auth.post("/user/api-keys", {"name": "Reporting"}, user=user, **KEY)).body["key"]
    rows = await auth.db.fetch("SELECT * FROM idempotency_keys")
    assert len(rows) == 2
    for secret in (key, ADA["password"], "bob@example.com", "198.51.100.7"):
        assert not any(secret.encode() in row["sealed_body"] or secret in str(dict(row)) for row in rows)


async def test_a_key_gets_the_scopes_it_was_made_with(auth: Any) -> None:
    user = await auth.sign_up()

    async def scopes_of(**body: Any) -> Any:
        created = await auth.post("/user/api-keys", {"name": "Reporting", **body}, user=user)
        assert created.status == 201, created.body
        key, gateway = {"key": created.body["key"]}, Principal("gateway", "service")
        verified = await auth.post("/internal/api-keys/verify", key, user=gateway)
        assert verified.body["scopes"] == created.body["scopes"]
        return created.body["scopes"]

    assert await scopes_of() == ["*"]
    assert await scopes_of(scopes=["calls:read", "calls:write", "calls:read"]) == ["calls:read", "calls:write"]
    assert await scopes_of(scopes=["calls:read", "*"]) == ["*"]


@pytest.mark.parametrize("scopes", [[], ["calls"], ["keys:write"], "calls:read", [7], None])
async def test_scopes_that_do_not_exist_are_refused(auth: Any, scopes: Any) -> None:
    user = await auth.sign_up()
    answer = await auth.post("/user/api-keys", {"name": "Reporting", "scopes": scopes}, user=user)
    assert (answer.status, answer.body["code"]) == (422, "invalid_request")
    assert answer.body["errors"][0]["field"].startswith("scopes")


async def test_a_narrowed_key_is_held_to_its_scopes(auth: Any) -> None:
    user = await auth.sign_up()
    key = Principal(user.user_id, "api_key", None, ("account:read",))
    body = {"oldPassword": auth.password, "newPassword": "staple for the horse"}
    refused = await auth.post("/auth/change-password", body, user=key)
    assert (refused.status, refused.body["code"]) == (403, "insufficient_scope")
    assert refused.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="account:write"'
    assert (await auth.ask("GET", "/user/get-active-project", user=key)).status == 404
    assert (await auth.post("/user/api-keys", {"name": "more"}, user=key)).body["code"] == "token_required"
