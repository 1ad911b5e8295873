"""Which events become webhooks, and what this module reports itself."""

from pydantic import BaseModel, ConfigDict

from project_service.webhooks import queue
from project_service.webhooks.queue import Claimed, Message
from project_service.webhooks.service import body_of
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx
from shared.events import Event
from shared.ids import new_id

QUEUE = "project_service.webhooks"
BINDINGS = (
    "call.queued",
    "call.initiated",
    "call.ringing",
    "call.answered",
    "call.ended",
    "call.transcript.ready",
    "call.recording.ready",
    "call.analyzed",
    "call.completed",
)
DISABLED = "webhook.disabled"


class WebhookDisabled(BaseModel):
    """Which URL is called no more, and why."""

    model_config = ConfigDict(json_schema_extra={"example": {"url": "https://example.com/hook", "reason": "gone"}})

    url: str
    reason: str


TYPES = (EventType(DISABLED, WebhookDisabled, "A webhook was given up."),)


async def on_call_event(tx: Tx, event: Event) -> None:
    """Queue the event for the project's URL, if it has one; its data is the public call object."""
    if event.project_id is None:
        return
    message = Message(
        id=new_id(),
        tenant=event.tenant,
        project_id=event.project_id,
        event_id=event.id,
        type=event.type,
        subject=event.subject,
        sequence=event.sequence,
        body=body_of(event.type, event.time, event.data),
    )
    await queue.add(tx, message)


async def publish_disabled(tx: Tx, claimed: Claimed, reason: str) -> None:
    """`webhook.disabled`: the owner should hear of it."""
    await outbox.add(
        tx,
        source="project_service",
        type=DISABLED,
        subject=claimed.project_id,
        tenant=claimed.tenant,
        project_id=claimed.project_id,
        data=WebhookDisabled(url=claimed.url, reason=reason).model_dump(),
    )
