"""Events about accounts."""

from auth_service.resources import SOURCE
from shared import outbox
from shared.db import Tx


async def user_registered(tx: Tx, user_id: str) -> None:
    """Told when the address is verified: until then anybody may have typed it."""
    await outbox.add(
        tx,
        source=SOURCE,
        type="auth.user.registered",
        subject=user_id,
        tenant=user_id,
        project_id=None,
        data={"user_id": user_id},
    )
