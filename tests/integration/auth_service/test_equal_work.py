"""Nobody learns from the time of an answer whether an address has an account (OWASP ASVS 5.0, 6.3.8).

Equal time follows from equal work, which is counted here: password hashes, transactions and statements, in their
order. What is left of a difference is measured by `tests/bench/bench_auth_timing.py`.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
import structlog

from auth_service.passwords.hasher import PasswordHasher

Work = dict[str, list[str]]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """What each request did, by its id; the tasks in the background have none."""
    done: Work = defaultdict(list)

    def spy(owner: type, method: str, describe: Callable[..., str]) -> None:
        original = getattr(owner, method)

        def noting(self: Any, *args: Any, **options: Any) -> Any:
            if request_id := structlog.contextvars.get_contextvars().get("request_id"):
                done[request_id].append(describe(*args))
            return original(self, *args, **options)

        monkeypatch.setattr(owner, method, noting)

    spy(asyncpg.Connection, "_execute", lambda query, *_: query)
    spy(asyncpg.transaction.Transaction, "start", lambda *_: "BEGIN")
    spy(PasswordHasher, "_run", lambda *_: "argon2id")
    return done


def _body(path: str, email: str) -> dict[str, str]:
    body = {"email": email}
    return body if path in {"/auth/forgot-password", "/auth/resend-code"} else {**body, "password": "not the password"}


@pytest.mark.parametrize("is_verified", [True, False])
@pytest.mark.parametrize("path", ["/auth/login", "/auth/forgot-password", "/auth/resend-code"])
async def test_known_and_unknown_addresses_cause_the_same_work(
    auth: Any, work: Work, path: str, is_verified: bool
) -> None:
    await auth.sign_up("known@example.com", is_verified=is_verified)
    answers = []
    for name in ("known", "stranger"):
        headers = {"X-Request-Id": name}
        answers.append(await auth.post(path, _body(path, f"{name}@example.com"), ip="192.0.2.1", **headers))
    assert answers[0].status == answers[1].status
    assert work["known"] == work["stranger"]
    assert work["known"].count("BEGIN") >= 1
    assert work["known"].count("argon2id") == (path == "/auth/login")


async def test_sign_up_hashes_the_password_before_it_knows_the_address(auth: Any, work: Work) -> None:
    """The contract tells that an address is taken, but its time tells no more: the hash is nine tenths of it."""
    await auth.sign_up("known@example.com")
    for name in ("known", "stranger"):
        body = {"email": f"{name}@example.com", "password": "not the password", "name": "Somebody"}
        await auth.post("/auth/signup", body, **{"X-Request-Id": name})
    shared = work["known"]
    assert shared[0] == "argon2id"
    assert shared == work["stranger"][: len(shared)]
    assert work["stranger"].count("argon2id") == 1
