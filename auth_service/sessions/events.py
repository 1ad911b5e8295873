"""Events about sessions."""

from pydantic import BaseModel, ConfigDict

from auth_service.resources import SOURCE
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

_USER = "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f"
_SESSION = "0192f0c1-4444-7c44-9f3e-1b2a4c5d6e7f"


class SessionRevoked(BaseModel):
    """Which session, and why."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"session_id": _SESSION, "user_id": _USER, "reason": "logged_out"}}
    )

    session_id: str
    user_id: str
    reason: str


REVOKED = EventType("auth.session.revoked", SessionRevoked, "A session was ended; its access tokens are refused.")
TYPES = (REVOKED,)


async def session_revoked(tx: Tx, session_id: str, user_id: str, reason: str) -> None:
    """The gateway refuses the session's access tokens from now on."""
    await outbox.add(
        tx,
        source=SOURCE,
        type=REVOKED.name,
        subject=user_id,
        tenant=user_id,
        project_id=None,
        data=SessionRevoked(session_id=session_id, user_id=user_id, reason=reason).model_dump(),
    )
