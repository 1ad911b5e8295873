"""The events of a call. Their data is the public call object as of the event."""

from typing import Any

from pydantic import ConfigDict

from call_service.calls import repository
from call_service.calls.domain import TERMINAL, Call, CallTurn, Status
from call_service.calls.schemas import CallObject, TurnObject
from shared import outbox
from shared.asyncapi import EventType
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


class SaidTurn(TurnObject):
    """One line of the transcript, the moment it is final, and how long its making took."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "call_id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
                "role": "agent",
                "text": "Good morning, this is Maya.",
                "start_ms": 640,
                "end_ms": 2210,
                "interrupted": False,
                "timings": {"synthesis_ms": 41.5},
            }
        }
    )

    call_id: str
    timings: dict[str, Any]


TYPES = (
    EventType("call.queued", CallObject, "A call was accepted and waits for a worker."),
    EventType("call.initiated", CallObject, "A worker has asked the carrier for the call."),
    EventType("call.ringing", CallObject, "The callee's phone rings."),
    EventType("call.answered", CallObject, "The callee has answered."),
    EventType("call.turn", SaidTurn, "A line of the transcript is final. Not sent to webhooks."),
    EventType("call.ended", CallObject, "The call has ended, whatever its status; there is exactly one for each call."),
    EventType(TRANSCRIPT_READY, CallObject, "The transcript is complete."),
    EventType(RECORDING_READY, CallObject, "The recording can be fetched."),
    EventType(ANALYZED, CallObject, "The analysis is complete."),
    EventType(COMPLETED, CallObject, "Everything about the call is in; the last event of a call."),
)


async def publish(tx: Tx, call: Call, public_url: str, *types: str) -> None:
    """Write events about a call to the outbox; without `types`, the one of its status."""
    body = CallObject.of(call, await repository.turns(tx, call.id), public_url).model_dump(mode="json", by_alias=True)
    for type_ in types or (_OF_STATUS[call.status],):
        await _add(tx, call, type_, body)


async def publish_turn(tx: Tx, call: Call, turn: CallTurn, timings: dict[str, Any]) -> None:
    """`call.turn`: what was just said, for those who watch a call live; it is not sent to webhooks."""
    said = {name: getattr(turn, name) for name in TurnObject.model_fields}
    await _add(tx, call, "call.turn", SaidTurn(call_id=call.id, **said, timings=timings).model_dump())


async def _add(tx: Tx, call: Call, type_: str, data: dict[str, Any]) -> None:
    await outbox.add(
        tx, source=SOURCE, type=type_, subject=call.id, tenant=call.tenant, project_id=call.project_id, data=data
    )
