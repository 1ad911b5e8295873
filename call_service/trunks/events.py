"""The events of a trunk; their data are its settings, without the password."""

from typing import Any

from pydantic import ConfigDict

from call_service.trunks.domain import Trunk
from call_service.trunks.schemas import SETTINGS_EXAMPLE, TrunkSettings
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

CREATED, CHANGED, DELETED = "trunk.created", "trunk.changed", "trunk.deleted"


class TrunkEvent(TrunkSettings):
    """A trunk as of the event."""

    model_config = ConfigDict(json_schema_extra={"example": SETTINGS_EXAMPLE})


TYPES = (
    EventType(CREATED, TrunkEvent, "A trunk was made."),
    EventType(CHANGED, TrunkEvent, "A trunk was changed."),
    EventType(DELETED, TrunkEvent, "A trunk was deleted; calls through it go on until they end."),
)


async def publish(tx: Tx, type_: str, trunk: Trunk) -> None:
    """Write an event to the outbox."""
    settings: dict[str, Any] = {name: getattr(trunk, name) for name in TrunkSettings.model_fields}
    await outbox.add(
        tx,
        source="call_service",
        type=type_,
        subject=trunk.id,
        tenant=trunk.tenant,
        project_id=None,
        data=TrunkEvent(**settings).model_dump(mode="json", by_alias=True),
    )
