"""One-time secrets: the code or link that was mailed last to an address, for each purpose, as a hash.

Addresses are kept as keyed hashes, those of strangers too, so that asking for a code costs the same for everyone.
"""

from datetime import datetime
from enum import StrEnum

from auth_service.verification.codes import IssuedCode
from shared.db import Tx

PRUNE = """
DELETE FROM one_time_secrets WHERE (address, purpose) IN (
    SELECT address, purpose FROM one_time_secrets WHERE expires_at < now() - $1::interval LIMIT $2
)
"""
_PUT = """
INSERT INTO one_time_secrets (address, purpose, hash, user_id, tries_left, expires_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (address, purpose) DO UPDATE
SET hash = excluded.hash, user_id = excluded.user_id, tries_left = excluded.tries_left, expires_at = excluded.expires_at
"""


class Purpose(StrEnum):
    """What a secret proves."""

    VERIFY_EMAIL = "verify_email"
    RESET = "reset_password"


async def put(tx: Tx, address: bytes, purpose: Purpose, issued: IssuedCode, user_id: str | None) -> None:
    """Keep a secret in the place of the one before."""
    await tx.execute(_PUT, address, purpose.value, issued.hash, user_id, issued.tries_left, issued.expires_at)


async def lock(tx: Tx, address: bytes, purpose: Purpose) -> IssuedCode | None:
    """The secret of an address; nobody else tries it until the transaction ends."""
    row = await tx.fetchrow(
        "SELECT hash, tries_left, expires_at FROM one_time_secrets WHERE address = $1 AND purpose = $2 FOR UPDATE",
        address,
        purpose.value,
    )
    return None if row is None else IssuedCode(**row)


async def count_try(tx: Tx, address: bytes, purpose: Purpose) -> None:
    await tx.execute(
        "UPDATE one_time_secrets SET tries_left = tries_left - 1 WHERE address = $1 AND purpose = $2",
        address,
        purpose.value,
    )


async def delete(tx: Tx, address: bytes, purpose: Purpose) -> None:
    await tx.execute("DELETE FROM one_time_secrets WHERE address = $1 AND purpose = $2", address, purpose.value)


async def take(tx: Tx, secret_hash: bytes, purpose: Purpose, now: datetime) -> str | None:
    """Use a secret up; the user it was made for, or None when there is none that is still good."""
    user_id = await tx.fetchval(
        "DELETE FROM one_time_secrets WHERE hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING user_id::text",
        secret_hash,
        purpose.value,
        now,
    )
    return None if user_id is None else str(user_id)
