"""Events about accounts."""

from pydantic import BaseModel, ConfigDict

from auth_service.resources import SOURCE
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

_USER = "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f"


class UserRegistered(BaseModel):
    """Who."""

    model_config = ConfigDict(json_schema_extra={"example": {"user_id": _USER}})

    user_id: str


REGISTERED = EventType("auth.user.registered", UserRegistered, "Somebody signed up and verified their address.")
TYPES = (REGISTERED,)


async def user_registered(tx: Tx, user_id: str) -> None:
    """Told when the address is verified: until then anybody may have typed it."""
    await outbox.add(
        tx,
        source=SOURCE,
        type=REGISTERED.name,
        subject=user_id,
        tenant=user_id,
        project_id=None,
        data=UserRegistered(user_id=user_id).model_dump(),
    )
