"""The events of a call. Their data is the public call object as of the event."""

from typing import Any

from call_service.calls import repository
from call_service.calls.domain import TERMINAL, Call, CallTurn, Status
from call_service.calls.schemas import CallObject
from shared import outbox
from shared.db import Tx

SOURCE = "call_service"
TRANSCRIPT_READY = "call.transcript.ready"
RECORDING_READY = "call.recording.ready"
ANALYZED = "call.analyzed"
COMPLETED = "call.completed"

_OF_STATUS = {
    Status.QUEUED: "call.queued",
    Status.INITIATED: "call.initiated",
    Status.RINGING: "call.ringing",
    Status.IN_PROGRESS: "call.answered",
    **dict.fromkeys(TERMINAL, "call.ended"),
}


async def publish(tx: Tx, call: Call, public_url: str, *types: str) -> None:
    """Write events about a call to the outbox; without `types`, the one of its status."""
    body = CallObject.of(call, await repository.turns(tx, call.id), public_url).model_dump(mode="json", by_alias=True)
    for type_ in types or (_OF_STATUS[call.status],):
        await _add(tx, call, type_, body)


async def publish_turn(tx: Tx, call: Call, turn: CallTurn, timings: dict[str, Any]) -> None:
    """`call.turn`: what was just said, for those who watch a call live; it is not sent to webhooks."""
    said = {name: getattr(turn, name) for name in ("role", "text", "start_ms", "end_ms", "interrupted")}
    await _add(tx, call, "call.turn", {"call_id": call.id, **said, "timings": timings})


async def _add(tx: Tx, call: Call, type_: str, data: dict[str, Any]) -> None:
    await outbox.add(
        tx, source=SOURCE, type=type_, subject=call.id, tenant=call.tenant, project_id=call.project_id, data=data
    )
