"""Signing keys, private halves sealed."""

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth_service.keys.rotation import SigningKey
from shared.db import Tx
from shared.secret_box import SecretBox

_LOCK = 7_261_002  # any number that is ours


async def lock(tx: Tx) -> None:
    """Replicas that start together must not each make a key."""
    await tx.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def starts(tx: Tx) -> list[datetime]:
    return [row["signs_from"] for row in await tx.fetch("SELECT signs_from FROM signing_keys")]


async def load(tx: Tx, box: SecretBox) -> list[SigningKey]:
    rows = await tx.fetch("SELECT * FROM signing_keys ORDER BY signs_from")
    return [
        SigningKey(
            row["kid"], Ed25519PrivateKey.from_private_bytes(box.open(row["sealed_private_key"])), row["signs_from"]
        )
        for row in rows
    ]


async def add(tx: Tx, box: SecretBox, key: SigningKey) -> None:
    sealed = box.seal(key.private_key.private_bytes_raw())
    await tx.execute(
        "INSERT INTO signing_keys (kid, sealed_private_key, signs_from) VALUES ($1, $2, $3)",
        key.kid,
        sealed,
        key.signs_from,
    )


async def delete(tx: Tx, starts: list[datetime]) -> None:
    await tx.execute("DELETE FROM signing_keys WHERE signs_from = ANY($1::timestamptz[])", starts)
