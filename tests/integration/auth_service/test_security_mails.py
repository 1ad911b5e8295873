"""The owner hears of every change that matters, and of nothing else."""

from typing import Any

from auth_service.mail.events import QUEUE
from shared.events import Event
from shared.ids import new_id
from shared.testing.waiting import eventually

ADA = {"email": "ada@example.com", "password": "correct horse battery"}


async def _mail(auth: Any, subject: str) -> str:
    return str(await auth.mail(ADA["email"], subject))


async def _subjects(auth: Any) -> list[str]:
    """Of all mails to the owner, after the queue has run empty."""

    async def is_empty() -> bool:
        return await auth.db.fetchval("SELECT count(*) FROM mail_outbox") == 0

    await eventually(is_empty)
    return [mail.subject for mail in auth.mailer.sent if mail.recipient == ADA["email"]]


async def test_a_password_changed_or_reset(auth: Any) -> None:
    user = await auth.sign_up()
    body = {"oldPassword": auth.password, "newPassword": "staple for the horse"}
    await auth.post("/auth/change-password", body, user=user)
    await _mail(auth, "password was changed")
    await auth.post("/auth/forgot-password", {"email": ADA["email"]})
    await auth.post("/auth/reset-password", {"token": await auth.reset_token(), "newPassword": "horse for the staple"})
    await _mail(auth, "password was changed")


async def test_an_api_key_created_replaced_or_revoked(auth: Any) -> None:
    user = await auth.sign_up()
    created = (await auth.post("/user/api-keys", {"name": "Reporting"}, user=user)).body
    assert '"Reporting"' in await _mail(auth, "key was created")
    await auth.ask("DELETE", f"/user/api-keys/{created['id']}", user=user)
    assert '"Reporting"' in await _mail(auth, "key was revoked")
    await auth.ask("GET", "/user/generate-apikey", user=user)
    assert "before it" in await _mail(auth, "key was created")


async def test_sessions_ended_from_another_one(auth: Any) -> None:
    user, other = await auth.sign_up(), await auth.log_in()
    await auth.ask("DELETE", f"/user/sessions/{other.session_id}", user=user)
    assert "A session of yours was" in await _mail(auth, "signed out")
    for _ in range(2):
        await auth.log_in()
    await auth.ask("DELETE", "/user/sessions", user=user)
    assert "2 sessions of yours were" in await _mail(auth, "signed out")


async def test_a_sign_in_from_a_new_place(auth: Any) -> None:
    await auth.sign_up()
    await auth.post("/auth/login", ADA, ip="2001:db8:1:2::1")
    text = await _mail(auth, "New sign-in")
    assert "2001:db8:1:2::1" in text
    assert "tests" in text


async def test_what_an_owner_does_every_day_is_no_news(auth: Any) -> None:
    user = await auth.sign_up()
    await auth.log_in()
    await auth.post("/auth/login", ADA, ip="2001:db8:1:2::1")
    await _mail(auth, "New sign-in")
    await auth.post("/auth/login", ADA, ip="2001:db8:1:2::9")
    await auth.post("/auth/logout", user=user)
    assert await _subjects(auth) == []


async def test_a_webhook_that_was_switched_off(auth: Any) -> None:
    user = await auth.sign_up()
    disabled = _disabled(user.user_id)
    await eventually(lambda: QUEUE in auth.bus._queues)
    await auth.bus.publish_many([disabled, disabled, _disabled(new_id())], 5)
    text = await _mail(auth, "webhook was switched off")
    assert "https://example.com/hook" in text
    assert "410 Gone" in text
    assert await _subjects(auth) == []
    assert await auth.db.fetchval("SELECT count(*) FROM inbox WHERE queue = $1", QUEUE) == 2


def _disabled(tenant: str) -> Event:
    project_id = new_id()
    return Event.model_validate(
        {
            "id": new_id(),
            "type": "webhook.disabled",
            "time": "2026-11-25T09:00:00Z",
            "source": "project_service",
            "subject": project_id,
            "tenant": tenant,
            "project_id": project_id,
            "sequence": 1,
            "data": {"url": "https://example.com/hook", "reason": "gone"},
        }
    )
