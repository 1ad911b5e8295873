"""Nobody learns from the time of an answer whether an address has an account (OWASP ASVS 5.0, 6.3.8)."""

import time
from statistics import median
from typing import Any

import pytest

ROUNDS = 25
PASSWORD = "not the password of anybody"


def _body(path: str, email: str) -> dict[str, str]:
    body = {"email": email}
    return body if path == "/auth/forgot-password" else {**body, "password": PASSWORD, "name": "Somebody"}


@pytest.mark.parametrize("path", ["/auth/login", "/auth/signup", "/auth/forgot-password", "/auth/resend-code"])
async def test_known_and_unknown_addresses_take_the_same_time(auth: Any, path: str) -> None:
    for number in range(ROUNDS):
        await auth.sign_up(f"known{number}@example.com", is_verified=False)
    # Mail would be sent between the requests that are timed.
    auth.mailer.is_down = True
    seconds: dict[str, list[float]] = {"known": [], "stranger": []}
    for number in range(ROUNDS):
        for kind, times in seconds.items():
            started = time.perf_counter()
            await auth.post(path, _body(path, f"{kind}{number}@example.com"), ip=f"192.0.2.{number}")
            times.append(time.perf_counter() - started)
    ratio = median(seconds["known"]) / median(seconds["stranger"])
    print(f"{path}: known/stranger {ratio:.3f}, {median(seconds['known']) * 1000:.1f} ms")
    assert 1 / 1.15 <= ratio <= 1.15
