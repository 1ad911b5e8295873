"""A password is verified outside of any transaction: what its owner does meanwhile counts."""

import asyncio
from typing import Any

import argon2
import pytest

from auth_service.passwords.hasher import PasswordHasher

NEW = "another horse battery staple"


class Held:
    """The next verification, which is done and then waits for `released`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.released = asyncio.Event(), asyncio.Event()
        verify = PasswordHasher.verify

        async def held(hasher: PasswordHasher, digest: str | None, password: str) -> bool:
            is_right = await verify(hasher, digest, password)
            if not self.reached.is_set():
                self.reached.set()
                await self.released.wait()
            return is_right

        monkeypatch.setattr(PasswordHasher, "verify", held)


async def reset(auth: Any) -> None:
    await auth.post("/auth/forgot-password", {"email": "ada@example.com"})
    body = {"token": await auth.reset_token(), "newPassword": NEW}
    assert (await auth.post("/auth/reset-password", body)).status == 200


async def test_no_session_of_an_old_password_begins_after_its_reset(auth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await auth.sign_up()
    held = Held(monkeypatch)
    body = {"email": "ada@example.com", "password": auth.password}
    logging_in = asyncio.create_task(auth.post("/auth/login", body))
    await asyncio.wait_for(held.reached.wait(), 10)
    await reset(auth)
    held.released.set()
    answer = await logging_in
    assert (answer.status, answer.body["code"]) == (401, "invalid_credentials")
    assert await auth.db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0


async def test_who_knows_the_old_password_can_not_change_it_after_its_reset(
    auth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await auth.sign_up()
    held = Held(monkeypatch)
    body = {"oldPassword": auth.password, "newPassword": "the thief's own long password"}
    changing = asyncio.create_task(auth.post("/auth/change-password", body, user=user))
    await asyncio.wait_for(held.reached.wait(), 10)
    await reset(auth)
    held.released.set()
    assert (await changing).status == 401
    await auth.log_in(password=NEW)


async def outdate(auth: Any) -> None:
    """As if the password had been hashed with the parameters of years ago."""
    old = argon2.PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1).hash(auth.password.encode())
    await auth.db.execute("UPDATE users SET password_hash = $1", old)


async def test_two_log_ins_at_once_both_succeed_while_one_hashes_the_password_anew(
    auth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one was told that its right password was wrong."""
    await auth.sign_up()
    await outdate(auth)
    held = Held(monkeypatch)
    body = {"email": "ada@example.com", "password": auth.password}
    first = asyncio.create_task(auth.post("/auth/login", body))
    await asyncio.wait_for(held.reached.wait(), 10)
    assert (await auth.post("/auth/login", body)).status == 200
    held.released.set()
    assert (await first).status == 200
    assert not PasswordHasher.is_outdated(await auth.db.fetchval("SELECT password_hash FROM users"))
    await auth.log_in()


async def test_a_password_is_changed_while_a_log_in_hashes_it_anew(auth: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await auth.sign_up()
    await outdate(auth)
    held = Held(monkeypatch)
    body = {"oldPassword": auth.password, "newPassword": NEW}
    changing = asyncio.create_task(auth.post("/auth/change-password", body, user=user))
    await asyncio.wait_for(held.reached.wait(), 10)
    await auth.log_in()
    held.released.set()
    assert (await changing).status == 200
    await auth.log_in(password=NEW)


async def test_a_password_that_is_hashed_anew_does_not_come_back_after_its_reset(
    auth: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.sign_up()
    await outdate(auth)
    held = Held(monkeypatch)
    logging_in = asyncio.create_task(auth.post("/auth/login", {"email": "ada@example.com", "password": auth.password}))
    await asyncio.wait_for(held.reached.wait(), 10)
    await reset(auth)
    held.released.set()
    assert (await logging_in).status == 401
    await auth.log_in(password=NEW)
