"""Events about API keys."""

from auth_service.resources import SOURCE
from shared import outbox
from shared.db import Tx


async def api_key_revoked(tx: Tx, key_id: str, user_id: str, key_hash: bytes) -> None:
    """The gateway forgets the key, which it knows by the SHA-256 of its text."""
    await outbox.add(
        tx,
        source=SOURCE,
        type="auth.api_key.revoked",
        subject=user_id,
        tenant=user_id,
        project_id=None,
        data={"key_id": key_id, "user_id": user_id, "key_sha256": key_hash.hex()},
    )
