"""The events of a phone number; their data is the number as of the event."""

from project_service.phone_numbers.schemas import PhoneNumber
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

ASSIGNED = "phone_number.assigned"
UNASSIGNED = "phone_number.unassigned"
RELEASED = "phone_number.released"
TYPES = (
    EventType(ASSIGNED, PhoneNumber, "A number was given to an agent."),
    EventType(UNASSIGNED, PhoneNumber, "A number was taken from its agent."),
    EventType(RELEASED, PhoneNumber, "A number was given back."),
)


async def publish(tx: Tx, type_: str, tenant: str, number: PhoneNumber) -> None:
    """Write an event to the outbox."""
    await outbox.add(
        tx,
        source="project_service",
        type=type_,
        subject=number.id,
        tenant=tenant,
        project_id=number.project_id,
        data=number.model_dump(mode="json", by_alias=True),
    )
