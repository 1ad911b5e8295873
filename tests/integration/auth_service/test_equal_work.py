"""Nobody learns from the time of an answer whether an address has an account (OWASP ASVS 5.0, 6.3.8)."""

import random
import time
from statistics import median
from typing import Any

import pytest

ROUNDS = 25
# A machine that others load may disturb one measurement; work that is really unequal shows in all.
MEASUREMENTS = 4
PASSWORD = "not the password of anybody"


def _body(path: str, email: str) -> dict[str, str]:
    body = {"email": email}
    return body if path == "/auth/forgot-password" else {**body, "password": PASSWORD, "name": "Somebody"}


async def _ratio(auth: Any, path: str, chance: random.Random) -> float:
    """Median time for addresses with an account, divided by that for others, asked in random order."""
    seconds: dict[str, list[float]] = {"known": [], "stranger": []}
    for number in range(ROUNDS):
        for kind in chance.sample(list(seconds), 2):
            email = f"{kind}{number}@example.com"
            started = time.perf_counter()
            await auth.post(path, _body(path, email), ip=f"192.0.2.{number}")
            seconds[kind].append(time.perf_counter() - started)
    return median(seconds["known"]) / median(seconds["stranger"])


@pytest.mark.parametrize("path", ["/auth/login", "/auth/signup", "/auth/forgot-password", "/auth/resend-code"])
async def test_known_and_unknown_addresses_take_the_same_time(auth: Any, path: str) -> None:
    for number in range(ROUNDS):
        await auth.sign_up(f"known{number}@example.com", is_verified=False)
    chance = random.Random(path)
    ratios: list[float] = []
    while not ratios or (not 1 / 1.15 <= ratios[-1] <= 1.15 and len(ratios) < MEASUREMENTS):
        await auth.db.execute("DELETE FROM throttles")
        await auth.db.execute("DELETE FROM users WHERE email LIKE 'stranger%'")
        ratios.append(await _ratio(auth, path, chance))
    print(f"{path}: known/stranger {ratios}")
    assert 1 / 1.15 <= ratios[-1] <= 1.15
