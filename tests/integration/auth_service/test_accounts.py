"""Sign-up, verification and passwords, status by status as the contract lists them."""

import io
import re
from typing import Any

import pytest

ADA = {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


async def test_sign_up_answers_as_documented(auth: Any) -> None:
    answer = await auth.post("/auth/signup", ADA)
    assert answer.status == 200
    user = answer.body.pop("user")
    assert answer.body == {"message": "User registered successfully", "status": "success", "signupStatus": 3}
    assert set(user) == {"email", "name", "active_project", "created_at", "updated_at", "company_name"}
    assert (user["email"], user["name"], user["active_project"]) == ("ada@example.com", "Ada Lovelace", None)
    assert MOMENT.fullmatch(user["created_at"])
    assert await auth.audit() == ["account.signed_up"]


@pytest.mark.parametrize(
    ("change", "fields", "signup_status"),
    [
        ({"email": None}, ["email"], 0),
        ({"password": None}, ["password"], 0),
        ({"name": None}, ["name"], 0),
        ({"email": "ada"}, ["email"], 5),
        ({"email": "ada@"}, ["email"], 5),
        ({"email": "ada@example"}, ["email"], 5),
        ({"email": "ada@exa mple.com"}, ["email"], 5),
        ({"password": "short"}, ["password"], 4),
        ({"password": "x" * 1025}, ["password"], 4),
        ({"password": "Trustno1Trustno1"[:8]}, ["password"], 4),
        ({"password": "ada@example.com"}, ["password"], 4),
        ({"name": "   "}, ["name"], 4),
        ({"email": 7}, ["email"], 5),
    ],
)
async def test_sign_up_names_the_wrong_fields(
    auth: Any, change: dict[str, Any], fields: list[str], signup_status: int
) -> None:
    body = {name: value for name, value in {**ADA, **change}.items() if value is not None}
    answer = await auth.post("/auth/signup", body)
    assert answer.status == 400
    assert [error["field"] for error in answer.body["errors"]] == fields
    assert answer.body["signupStatus"] == signup_status
    assert "correct horse" not in str(answer.body)


async def test_a_registered_address_is_refused_in_any_case(auth: Any) -> None:
    await auth.post("/auth/signup", ADA)
    answer = await auth.post("/auth/signup", {**ADA, "email": "ADA@Example.com"})
    assert (answer.status, answer.body["code"], answer.body["signupStatus"]) == (400, "already_registered", 1)


async def test_malformed_bodies_are_400_413_and_415(auth: Any) -> None:
    async def send(data: bytes, content_type: str) -> int:
        headers = {"X-Internal-Token": auth.tokens.sign(None), "Content-Type": content_type}
        async with auth.client.post("/auth/signup", data=io.BytesIO(data), headers=headers) as response:
            assert (await response.json())["status"] == "error"
            return int(response.status)

    assert await send(b"{", "application/json") == 400
    assert await send(b"[]", "application/json") == 400
    assert await send(b"", "application/json") == 400
    assert await send(b"{}", "text/plain") == 415
    assert await send(b" " * (1024 * 1024 + 1), "application/json") == 413


async def test_requests_that_bypass_the_gateway_are_refused(auth: Any) -> None:
    async with auth.client.post("/auth/signup", json=ADA) as response:
        assert response.status == 401
    assert await auth.db.fetchval("SELECT count(*) FROM users") == 0


async def test_verification_answers_as_documented_and_tells_the_world(auth: Any) -> None:
    await auth.post("/auth/signup", ADA)
    answer = await auth.post("/auth/verify-email", {"email": ADA["email"], "code": await auth.code()})
    assert answer.status == 200
    user = answer.body.pop("userData")
    assert answer.body == {
        "message": "email verification successful.",
        "status": "success",
        "verificationStatus": 2,
    }
    assert set(user) == {"email", "name", "active_project", "created_at", "updated_at"}
    event = await auth.event("auth.user.registered")
    assert (event.subject, event.tenant, event.sequence) == (await auth.user_id(), await auth.user_id(), 1)


async def test_verification_refuses_what_is_wrong(auth: Any) -> None:
    await auth.post("/auth/signup", ADA)
    code = await auth.code()

    async def verify(email: str = ADA["email"], given: str | None = code) -> tuple[int, str, int]:
        answer = await auth.post("/auth/verify-email", {"email": email} | ({"code": given} if given else {}))
        return answer.status, answer.body.get("code", "ok"), answer.body["verificationStatus"]

    wrong = "000000" if code != "000000" else "000001"
    assert await verify(given=None) == (400, "invalid_request", 0)
    assert await verify("ada") == (400, "invalid_request", 0)
    assert await verify(given="12345") == (400, "invalid_request", 1)
    assert await verify("bob@example.com") == (404, "account_not_found", 5)
    assert await verify(given=wrong) == (400, "wrong_code", 1)
    assert await verify() == (200, "ok", 2)
    assert await verify() == (400, "already_verified", 4)


async def test_a_code_dies_after_ten_minutes(auth: Any) -> None:
    await auth.post("/auth/signup", ADA)
    code = await auth.code()
    auth.clock.advance(minutes=10)
    answer = await auth.post("/auth/verify-email", {"email": ADA["email"], "code": code})
    assert (answer.status, answer.body["code"], answer.body["verificationStatus"]) == (400, "code_expired", 3)


async def test_a_code_dies_after_five_wrong_tries(auth: Any) -> None:
    await auth.post("/auth/signup", ADA)
    code = await auth.code()
    wrong = "000000" if code != "000000" else "000001"
    codes = [wrong] * 5 + [code]
    answers = [await auth.post("/auth/verify-email", {"email": ADA["email"], "code": given}) for given in codes]
    assert [answer.body["code"] for answer in answers] == ["wrong_code"] * 5 + ["code_expired"]


async def test_a_new_code_ends_the_one_before(auth: Any) -> None:
    await auth.post("/auth/signup", ADA)
    old = await auth.code()
    answer = await auth.post("/auth/resend-code", {"email": ADA["email"]})
    assert answer.body == {"message": "successfully sent verification code to mail", "status": "success"}
    new = await auth.code()
    if old != new:
        assert (await auth.post("/auth/verify-email", {"email": ADA["email"], "code": old})).body[
            "code"
        ] == "wrong_code"
    assert (await auth.post("/auth/verify-email", {"email": ADA["email"], "code": new})).status == 200


async def test_resending_tells_nobody_who_has_an_account(auth: Any) -> None:
    await auth.sign_up()
    known = await auth.post("/auth/resend-code", {"email": ADA["email"]})
    stranger = await auth.post("/auth/resend-code", {"email": "bob@example.com"})
    assert (known.status, known.body) == (stranger.status, stranger.body)
    assert known.status == 200
    assert (await auth.post("/auth/resend-code", {})).status == 400


async def test_codes_can_be_asked_for_four_times_then_less_and_less(auth: Any) -> None:
    for email in ("stranger@example.com", "ada@example.com"):
        statuses = [(await auth.post("/auth/resend-code", {"email": email})).status for _ in range(6)]
        assert statuses == [200] * 4 + [429] * 2
    answer = await auth.post("/auth/resend-code", {"email": "ada@example.com"})
    assert answer.headers["Retry-After"] == "30"
    auth.clock.advance(seconds=30)
    assert (await auth.post("/auth/resend-code", {"email": "ada@example.com"})).status == 200


@pytest.mark.parametrize("setting_changes", [{"auth_reveal_accounts": True}])
async def test_the_references_answers_on_request(auth: Any) -> None:
    await auth.sign_up()
    stranger = {"email": "bob@example.com"}
    unknown = await auth.post("/auth/login", {**stranger, "password": "whatever it is"})
    assert (unknown.status, unknown.body["code"], unknown.body["loginStatus"]) == (404, "user_not_found", 3)
    assert (await auth.post("/auth/resend-code", stranger)).status == 404
    assert (await auth.post("/auth/resend-code", {"email": ADA["email"]})).body["code"] == "already_verified"


async def test_changing_the_password_ends_the_other_sessions(auth: Any) -> None:
    user = await auth.sign_up()
    other = await auth.log_in()
    body = {"oldPassword": auth.password, "newPassword": "staple for the horse"}
    answer = await auth.post("/auth/change-password", body, user=user)
    assert (answer.status, answer.body["message"]) == (200, "successfully updated password.")
    event = await auth.event("auth.session.revoked")
    assert event.data == {"session_id": other.session_id, "user_id": user.user_id, "reason": "password_changed"}
    assert len([event for event in auth.events if event.type == "auth.session.revoked"]) == 1
    assert "was changed" in await auth.mail(ADA["email"], "password was changed")
    assert (await auth.post("/auth/login", {"email": ADA["email"], "password": auth.password})).status == 401
    await auth.log_in(password="staple for the horse")


async def test_changing_the_password_needs_the_old_one_and_a_good_new_one(auth: Any) -> None:
    user = await auth.sign_up()

    async def change(old: str, new: str, principal: Any = user) -> tuple[int, str]:
        answer = await auth.post("/auth/change-password", {"oldPassword": old, "newPassword": new}, user=principal)
        return answer.status, answer.body["code"]

    assert await change("not the old one", "staple for the horse") == (401, "wrong_password")
    assert await change(auth.password, "short") == (400, "invalid_request")
    assert await change(auth.password, "password1") == (400, "weak_password")
    assert await change(auth.password, "staple for the horse", None) == (401, "unauthorized")


async def test_guessing_the_old_password_is_slowed_down(auth: Any) -> None:
    user = await auth.sign_up()
    body = {"oldPassword": "not the old one", "newPassword": "staple for the horse"}
    statuses = [(await auth.post("/auth/change-password", body, user=user)).status for _ in range(7)]
    assert statuses == [401] * 5 + [429] * 2


async def test_a_forgotten_password_is_reset_once(auth: Any) -> None:
    await auth.sign_up()
    answer = await auth.post("/auth/forgot-password", {"email": ADA["email"]})
    assert answer.body["message"] == "If the email is registered, a reset link has been sent."
    body = {"token": await auth.reset_token(), "newPassword": "staple for the horse"}
    answer = await auth.post("/auth/reset-password", body)
    assert (answer.status, answer.body["message"]) == (200, "Password has been reset successfully.")
    assert (await auth.post("/auth/reset-password", body)).body["code"] == "invalid_reset_token"
    assert (await auth.event("auth.session.revoked")).data["reason"] == "password_changed"
    await auth.log_in(password="staple for the horse")


async def test_a_weak_new_password_does_not_use_the_reset_token_up(auth: Any) -> None:
    await auth.sign_up()
    await auth.post("/auth/forgot-password", {"email": ADA["email"]})
    token = await auth.reset_token()
    answer = await auth.post("/auth/reset-password", {"token": token, "newPassword": "12345678"})
    assert (answer.status, answer.body["code"]) == (400, "weak_password")
    assert (await auth.post("/auth/reset-password", {"token": token, "newPassword": "staple horse"})).status == 200


async def test_a_reset_token_lives_half_an_hour_and_only_the_latest_counts(auth: Any) -> None:
    await auth.sign_up()
    tokens = []
    for _ in range(2):
        await auth.post("/auth/forgot-password", {"email": ADA["email"]})
        tokens.append(await auth.reset_token())
    old = await auth.post("/auth/reset-password", {"token": tokens[0], "newPassword": "staple horse"})
    auth.clock.advance(minutes=30)
    late = await auth.post("/auth/reset-password", {"token": tokens[1], "newPassword": "staple horse"})
    assert [old.body["code"], late.body["code"]] == ["invalid_reset_token"] * 2


async def test_who_reads_the_reset_mail_owns_the_account(auth: Any) -> None:
    """Somebody signed up with another's address; its owner takes the account over and verifies it by that."""
    await auth.sign_up(is_verified=False)
    await auth.post("/auth/forgot-password", {"email": ADA["email"]})
    await auth.post("/auth/reset-password", {"token": await auth.reset_token(), "newPassword": "staple horse"})
    await auth.log_in(password="staple horse")


async def test_forgetting_answers_strangers_alike(auth: Any) -> None:
    await auth.sign_up()
    known = await auth.post("/auth/forgot-password", {"email": ADA["email"]})
    stranger = await auth.post("/auth/forgot-password", {"email": "bob@example.com"})
    assert (known.status, known.body) == (stranger.status, stranger.body)
    assert (await auth.post("/auth/forgot-password", {"email": "bob"})).status == 400
    await auth.mail(ADA["email"], "Reset")
    assert all(mail.recipient == ADA["email"] for mail in auth.mailer.sent)


async def test_no_secret_lies_in_the_database_in_clear(auth: Any) -> None:
    auth.mailer.is_down = True
    await auth.post("/auth/signup", ADA)
    await auth.post("/auth/forgot-password", {"email": ADA["email"]})
    queued = await auth.db.fetch("SELECT sealed FROM mail_outbox")
    assert len(queued) == 2
    assert not any(b"ada" in row["sealed"] or b"token" in row["sealed"] for row in queued)
    assert str(await auth.db.fetchval("SELECT password_hash FROM users")).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
