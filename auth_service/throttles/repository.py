"""Attempts are counted before they are made, so that many at once can't slip past the count."""

from datetime import datetime, timedelta

from auth_service.throttles.policy import Policy, State, next_state
from shared.db import Tx

PRUNE = (
    "DELETE FROM throttles WHERE key IN (SELECT key FROM throttles WHERE updated_at < now() - $1::interval LIMIT $2)"
)

_LOCK = """
INSERT INTO throttles AS known (key, attempts, blocked_until, updated_at) VALUES ($1, 0, $2, $2)
ON CONFLICT (key) DO UPDATE SET attempts = known.attempts
RETURNING attempts, blocked_until, updated_at
"""
_SET = "UPDATE throttles SET attempts = $2, blocked_until = $3, updated_at = $4 WHERE key = $1"


async def attempt(tx: Tx, key: bytes, policy: Policy, now: datetime) -> timedelta:
    """Count an attempt and return zero, or return how long it has to wait."""
    row = await tx.fetchrow(_LOCK, key, now)
    assert row is not None
    state = State(**row)
    after = next_state(policy, state, now)
    if after is None:
        return state.blocked_until - now
    await tx.execute(_SET, key, after.attempts, after.blocked_until, after.updated_at)
    return timedelta(0)


async def forget(tx: Tx, key: bytes) -> None:
    """The attempts so far were the owner's own."""
    await tx.execute("DELETE FROM throttles WHERE key = $1", key)
