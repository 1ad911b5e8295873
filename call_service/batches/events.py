"""The events of a batch."""

from pydantic import BaseModel, ConfigDict, Field

from call_service.batches import dialing_queries
from call_service.batches.domain import Batch
from call_service.calls.events import SOURCE
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

STARTED = "batch.started"
PROGRESS = "batch.progress"
COMPLETED = "batch.completed"
PROGRESS_SECONDS = 5


class BatchProgress(BaseModel):
    """How far a batch is, as of the event."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "batch_id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
                "status": "running",
                "reason": None,
                "total": 1000,
                "accepted": 990,
                "active": 20,
                "finished": 400,
                "spent": 12.5,
            }
        }
    )

    batch_id: str
    status: str
    reason: str | None
    total: int = Field(description="Rows of the file.")
    accepted: int = Field(description="Rows that are called.")
    active: int = Field(description="Contacts that are being called.")
    finished: int = Field(description="Contacts that will not be called again.")
    spent: float


TYPES = (
    EventType(STARTED, BatchProgress, "The first contacts of a batch are called."),
    EventType(PROGRESS, BatchProgress, "A running batch has come on; at most every five seconds."),
    EventType(COMPLETED, BatchProgress, "A batch has nothing left to do: it is completed, or canceled."),
)


async def publish(tx: Tx, batch: Batch, type_: str) -> None:
    """Write an event about the batch, as of now, to the outbox."""
    progress = BatchProgress(
        batch_id=batch.id,
        status=batch.status.value,
        reason=batch.status_reason,
        total=batch.total,
        accepted=batch.accepted,
        active=batch.active,
        finished=batch.finished,
        spent=float(batch.spent),
    )
    await outbox.add(
        tx,
        source=SOURCE,
        type=type_,
        subject=batch.id,
        tenant=batch.tenant,
        project_id=batch.project_id,
        data=progress.model_dump(mode="json"),
    )


async def complete_if_done(tx: Tx, batch: Batch) -> Batch:
    """Complete a locked batch that has nothing left to do."""
    completed = await dialing_queries.complete(tx, batch)
    if completed is None:
        return batch
    await publish(tx, completed, COMPLETED)
    return completed


async def report(tx: Tx, batch: Batch) -> None:
    """Complete a locked batch that has nothing left to do, else report its progress at most every five seconds."""
    known = await complete_if_done(tx, batch)
    if known.completed_at is None and await dialing_queries.progress_is_due(tx, batch.id, PROGRESS_SECONDS):
        await publish(tx, batch, PROGRESS)
