"""Sessions and their refresh tokens; tokens are kept as SHA-256 hashes (they have 256 bits of randomness)."""

from dataclasses import dataclass
from datetime import datetime

from auth_service.sessions.refresh import RefreshToken
from shared.client import Client
from shared.db import Record, Tx

PRUNE = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at < now() - $1::interval LIMIT $2)"

_ADD = """
INSERT INTO sessions (id, user_id, ip, user_agent, created_at, last_used_at, expires_at, network)
VALUES ($1, $2, $3, $4, $5, $5, $6, $7)
"""
# Both rows are locked, so that of two requests with one token the second sees what the first has done.
_LOCK = """
SELECT t.expires_at, t.spent_at, t.successor, s.id::text AS session_id, s.user_id::text, s.revoked_at,
       s.expires_at AS session_ends_at
FROM refresh_tokens t JOIN sessions s ON s.id = t.session_id WHERE t.hash = $1 FOR UPDATE
"""
_LIVE = """
SELECT id::text, ip, user_agent, created_at, last_used_at, expires_at FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 ORDER BY id DESC
"""
_REVOKE = """
UPDATE sessions SET revoked_at = $2
WHERE user_id = $1 AND revoked_at IS NULL AND id IS DISTINCT FROM $3 AND ($4::uuid IS NULL OR id = $4)
RETURNING id::text
"""
_LEAST_USED = """
SELECT id::text FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2
ORDER BY last_used_at DESC, id DESC OFFSET $3 LIMIT 100
"""
_KNOWN = """
SELECT EXISTS (SELECT FROM sessions WHERE user_id = $1 AND ip = $2 AND ip <> '' AND revoked_at IS NULL)
"""
_REVOKED_SINCE = "SELECT id::text FROM sessions WHERE revoked_at >= $1 ORDER BY revoked_at DESC LIMIT $2"
_NEW = "SELECT count(*) > 0 AND NOT coalesce(bool_or(network = $2), false) FROM sessions WHERE user_id = $1"


@dataclass(frozen=True, slots=True)
class Session:
    """A log-in that lives."""

    id: str
    ip: str
    user_agent: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


async def add(tx: Tx, session_id: str, user_id: str, client: Client, *, now: datetime, ends_at: datetime) -> None:
    await tx.execute(_ADD, session_id, user_id, client.ip, client.user_agent, now, ends_at, client.network)


async def live(tx: Tx, user_id: str, now: datetime) -> list[Session]:
    return [Session(**row) for row in await tx.fetch(_LIVE, user_id, now)]


async def beyond(tx: Tx, user_id: str, now: datetime, most: int) -> list[str]:
    """The ids of the user's live sessions but for the `most` that were used last; 100 at a time."""
    return [row["id"] for row in await tx.fetch(_LEAST_USED, user_id, now, most)]


async def is_known_place(tx: Tx, user_id: str | None, ip: str) -> bool:
    """Does this user have a session from this address?"""
    return bool(await tx.fetchval(_KNOWN, user_id, ip))


async def is_new_place(tx: Tx, user_id: str, network: str) -> bool:
    """Has this user had sessions, and none from there? Sessions are remembered until a day after they would end."""
    return bool(await tx.fetchval(_NEW, user_id, network))


async def revoke(tx: Tx, user_id: str, now: datetime, *, but: str | None = None, only: str | None = None) -> list[str]:
    """End the user's sessions (all, all but one, or only one); the ids of those that lived."""
    return [row["id"] for row in await tx.fetch(_REVOKE, user_id, now, but, only)]


async def revoked_since(tx: Tx, since: datetime, limit: int) -> list[str]:
    """The ids of sessions that were ended, the latest first."""
    return [row["id"] for row in await tx.fetch(_REVOKED_SINCE, since, limit)]


async def touch(tx: Tx, session_id: str, now: datetime) -> None:
    await tx.execute("UPDATE sessions SET last_used_at = $2 WHERE id = $1", session_id, now)


async def add_token(tx: Tx, token_hash: bytes, session_id: str, expires_at: datetime) -> None:
    await tx.execute(
        "INSERT INTO refresh_tokens (hash, session_id, expires_at) VALUES ($1, $2, $3)",
        token_hash,
        session_id,
        expires_at,
    )


async def lock_token(tx: Tx, token_hash: bytes) -> Record | None:
    """The token with its session."""
    return await tx.fetchrow(_LOCK, token_hash)


async def is_spent(tx: Tx, token_hash: bytes) -> bool:
    return bool(await tx.fetchval("SELECT spent_at IS NOT NULL FROM refresh_tokens WHERE hash = $1", token_hash))


async def spend(tx: Tx, token_hash: bytes, successor: bytes, now: datetime) -> None:
    await tx.execute(
        "UPDATE refresh_tokens SET spent_at = $2, successor = $3 WHERE hash = $1", token_hash, now, successor
    )


def refresh_token(row: Record, *, is_successor_spent: bool) -> RefreshToken:
    return RefreshToken(row["expires_at"], row["spent_at"], is_successor_spent)
