"""Events about sessions."""

from auth_service.resources import SOURCE
from shared import outbox
from shared.db import Tx


async def session_revoked(tx: Tx, session_id: str, user_id: str, reason: str) -> None:
    """The gateway refuses the session's access tokens from now on."""
    await outbox.add(
        tx,
        source=SOURCE,
        type="auth.session.revoked",
        subject=user_id,
        tenant=user_id,
        project_id=None,
        data={"session_id": session_id, "user_id": user_id, "reason": reason},
    )
