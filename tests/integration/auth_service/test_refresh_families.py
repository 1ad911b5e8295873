"""Refresh-token families, walked at random against a model of them (stateful, repeatable by its seed)."""

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

GRACE_SECONDS = 30
STEPS = 60
ADA = {"email": "ada@example.com", "password": "correct horse battery"}


@dataclass
class Family:
    """The chain as the client side knows it: `spent_at[i]` is when token i was exchanged for token i + 1."""

    tokens: list[str]
    spent_at: list[float] = field(default_factory=list)
    is_dead: bool = False

    def expected(self, index: int, now: float) -> str:
        if self.is_dead:
            return "invalid_refresh_token"
        if index == len(self.tokens) - 1:
            return "rotated"
        is_before_last = index == len(self.tokens) - 2
        if is_before_last and now - self.spent_at[index] <= GRACE_SECONDS:
            return "repeated"
        return "refresh_token_reused"


@pytest.mark.parametrize("seed", range(6))
async def test_the_service_agrees_with_the_model(auth: Any, seed: int) -> None:
    chance = random.Random(seed)
    await auth.sign_up()
    families: list[Family] = []
    now, seen = 0.0, set()
    for _ in range(STEPS):
        seconds = chance.choice([0, 0, 1, 29, 30, 31, 600])
        auth.clock.advance(seconds=seconds)
        now += seconds
        if not families or chance.random() < 0.15:
            families.append(Family([(await auth.post("/auth/login", ADA)).body["refreshToken"]]))
            continue
        family = chance.choice(families[-3:])
        index = max(0, len(family.tokens) - 1 - chance.choice([0, 0, 0, 1, 1, 2, 3]))
        expected = family.expected(index, now)
        answer = await auth.post("/auth/refresh-token", {"refreshToken": family.tokens[index]})
        seen.add(expected)
        _check_and_follow(family, index, expected, answer, now)
    assert seen == {"rotated", "repeated", "refresh_token_reused", "invalid_refresh_token"}
    alive = await auth.db.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
    assert alive == 1 + sum(not family.is_dead for family in families)


def _check_and_follow(family: Family, index: int, expected: str, answer: Any, now: float) -> None:
    if expected == "rotated":
        assert answer.status == 200
        assert answer.body["refreshToken"] not in family.tokens
        family.tokens.append(answer.body["refreshToken"])
        family.spent_at.append(now)
    elif expected == "repeated":
        assert (answer.status, answer.body["refreshToken"]) == (200, family.tokens[index + 1])
    else:
        assert (answer.status, answer.body["code"]) == (401, expected)
        family.is_dead = True
