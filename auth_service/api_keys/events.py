"""Events about API keys."""

from pydantic import BaseModel, ConfigDict

from auth_service.resources import SOURCE
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

_USER = "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f"
_KEY = "0192f0c1-5555-7c44-9f3e-1b2a4c5d6e7f"


class ApiKeyRevoked(BaseModel):
    """Which key: `key_sha256` is the hexadecimal hash of its text."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"key_id": _KEY, "user_id": _USER, "key_sha256": "9f86d081" * 8}}
    )

    key_id: str
    user_id: str
    key_sha256: str


REVOKED = EventType("auth.api_key.revoked", ApiKeyRevoked, "An API key was revoked or replaced.")
TYPES = (REVOKED,)


async def api_key_revoked(tx: Tx, key_id: str, user_id: str, key_hash: bytes) -> None:
    """The gateway forgets the key, which it knows by the SHA-256 of its text."""
    await outbox.add(
        tx,
        source=SOURCE,
        type=REVOKED.name,
        subject=user_id,
        tenant=user_id,
        project_id=None,
        data=ApiKeyRevoked(key_id=key_id, user_id=user_id, key_sha256=key_hash.hex()).model_dump(),
    )
