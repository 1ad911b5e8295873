"""API keys, as hashes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.db import Database, Tx


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key without its secret; `hint` is its end."""

    id: str
    user_id: str
    name: str
    hint: str
    scopes: list[str]
    is_default: bool
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """A key that has just ended."""

    id: str
    name: str
    hash: bytes


_COLUMNS = "id::text, user_id::text, name, hint, scopes, is_default, created_at, expires_at, last_used_at"
_ADD = """
INSERT INTO api_keys (id, user_id, name, hash, hint, scopes, is_default, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
_VALID = f"""
SELECT {_COLUMNS} FROM api_keys WHERE hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""  # noqa: S608 - constants only
_LIST = f"SELECT {_COLUMNS} FROM api_keys WHERE user_id = $1 AND revoked_at IS NULL ORDER BY id DESC"  # noqa: S608 - as above
_REVOKE = """
UPDATE api_keys SET revoked_at = $2
WHERE user_id = $1 AND revoked_at IS NULL AND CASE WHEN $3::uuid IS NULL THEN is_default ELSE id = $3 END
RETURNING id::text, name, hash
"""
_USED = """
UPDATE api_keys SET last_used_at = greatest(last_used_at, used.at)
FROM unnest($1::uuid[], $2::timestamptz[]) AS used (id, at) WHERE api_keys.id = used.id
"""


async def add(tx: Tx, key: ApiKey, key_hash: bytes) -> None:
    await tx.execute(
        _ADD,
        key.id,
        key.user_id,
        key.name,
        key_hash,
        key.hint,
        key.scopes,
        key.is_default,
        key.created_at,
        key.expires_at,
    )


async def find_valid(db: Database, key_hash: bytes, now: datetime) -> ApiKey | None:
    row = await db.fetchrow(_VALID, key_hash, now)
    return None if row is None else ApiKey(**row)


async def of_user(tx: Tx, user_id: str) -> list[ApiKey]:
    return [ApiKey(**row) for row in await tx.fetch(_LIST, user_id)]


async def lock_keys_of(tx: Tx, user_id: str) -> None:
    """Two requests at once must not both replace the default key, or pass the limit."""
    await tx.execute("SELECT FROM users WHERE id = $1 FOR UPDATE", user_id)


async def revoke(tx: Tx, user_id: str, now: datetime, key_id: str | None) -> Revoked | None:
    """Revoke one key, or the default one."""
    row = await tx.fetchrow(_REVOKE, user_id, now, key_id)
    return None if row is None else Revoked(**row)


async def mark_used(db: Database, used: Mapping[str, datetime]) -> None:
    await db.execute(_USED, list(used), list(used.values()))
