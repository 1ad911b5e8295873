"""What calls do about events of other services."""

from call_service.batches.service import cancel_batches
from call_service.calls import repository
from shared.bus import EventBus
from shared.db import Database, Tx
from shared.events import Event
from shared.inbox import Consumer

QUEUE = "call_service.projects"
PROJECT_DELETED = "project.deleted"


async def _on_event(tx: Tx, event: Event) -> None:
    await repository.forget_project(tx, event.subject)
    await cancel_batches(tx, event.subject)


def new_consumer(db: Database, bus: EventBus) -> Consumer:
    """Stops the calls of deleted projects: no more are claimed, the sweeper ends what is queued, live ones go on."""
    return Consumer(db, bus, queue=QUEUE, bindings=[PROJECT_DELETED], handler=_on_event)
