"""The events of a call. Their data is the public call object as of the event."""

from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from call_service.calls import repository
from call_service.calls.domain import TERMINAL, Call, CallTurn, Status
from call_service.calls.schemas import CallObject, TurnObject
from call_service.voice.ports import AnsweredBy
from shared import outbox
from shared.asyncapi import EventType
from shared.db import Tx

SOURCE = "call_service"
_ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"
TRANSCRIPT_READY = "call.transcript.ready"
RECORDING_READY = "call.recording.ready"
ANALYZED = "call.analyzed"
COMPLETED = "call.completed"
# What may be left out of an event, in this order, and what stands in its place.
_LARGE: dict[str, Any] = {"transcript": [], "dynamicVariables": {}, "data": {}, "analysis": None}

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
                "call_id": _ID,
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


class TransferredCall(BaseModel):
    """Who the other party talks with instead of the agent. `warm`: the call goes on through us."""

    model_config = ConfigDict(json_schema_extra={"example": {"call_id": _ID, "to": "+12025550100", "mode": "blind"}})

    call_id: str
    to: str
    mode: Literal["blind", "warm"]


class HeldCall(BaseModel):
    """Whether the other party is on hold."""

    model_config = ConfigDict(json_schema_extra={"example": {"call_id": _ID, "held": True}})

    call_id: str
    held: bool


class DetectedCall(BaseModel):
    """Who or what answered, as far as is known `at_ms` after the answer. A later one replaces it."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "call_id": _ID,
                "answeredBy": "voicemail",
                "confidence": 0.95,
                "by": "words",
                "at_ms": 5240,
            }
        }
    )

    call_id: str
    answered_by: AnsweredBy = Field(serialization_alias="answeredBy")
    confidence: float
    by: Literal["words", "timing", "beep", "carrier"]
    at_ms: int


class DegradedCall(BaseModel):
    """One of the call's engines was late or failed: the conversation goes on with another one."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "call_id": _ID,
                "stage": "llm",
                "engine": "openai",
                "successor": "local",
                "why": "late",
                "at_ms": 8140,
            }
        }
    )

    call_id: str
    stage: Literal["stt", "llm", "tts", "s2s"]
    engine: str
    successor: str
    why: Literal["late", "failed"]
    at_ms: int


class ToolUsed(BaseModel):
    """The agent used a tool, which took so long. `error` is one word, null when it worked."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"call_id": _ID, "name": "order_status", "ok": True, "error": None, "ms": 420, "at_ms": 9310}
        }
    )

    call_id: str
    name: str
    ok: bool
    error: str | None
    ms: int
    at_ms: int


Happening = TransferredCall | HeldCall | DetectedCall | DegradedCall | ToolUsed
_HAPPENINGS: dict[type[Happening], str] = {
    TransferredCall: "call.transferred",
    HeldCall: "call.held",
    DetectedCall: "call.detected",
    DegradedCall: "call.degraded",
    ToolUsed: "call.tool",
}

TYPES = (
    EventType("call.queued", CallObject, "A call was accepted and waits for a worker."),
    EventType("call.initiated", CallObject, "A worker has asked the carrier for the call."),
    EventType("call.ringing", CallObject, "The callee's phone rings."),
    EventType("call.answered", CallObject, "The callee has answered."),
    EventType("call.turn", SaidTurn, "A line of the transcript is final. Not sent to webhooks."),
    EventType("call.detected", DetectedCall, "Who or what answered is known, or known better. Not sent to webhooks."),
    EventType("call.degraded", DegradedCall, "An engine took over from a broken one. Not sent to webhooks."),
    EventType("call.tool", ToolUsed, "The agent has used a tool. Not sent to webhooks."),
    EventType("call.held", HeldCall, "The other party was put on hold, or taken back. Not sent to webhooks."),
    EventType("call.transferred", TransferredCall, "The other party talks with somebody else. Not sent to webhooks."),
    EventType("call.ended", CallObject, "The call has ended, whatever its status; there is exactly one for each call."),
    EventType(TRANSCRIPT_READY, CallObject, "The transcript is complete."),
    EventType(RECORDING_READY, CallObject, "The recording can be fetched."),
    EventType(ANALYZED, CallObject, "The analysis is complete."),
    EventType(COMPLETED, CallObject, "Everything about the call is in; the last event of a call."),
)


def fitting(body: dict[str, Any]) -> dict[str, Any]:
    """The call object, without its transcript and then without more when it is too large for an event.

    A call that can't be reported could never end.
    """
    for name, nothing in _LARGE.items():
        if len(orjson.dumps(body)) <= outbox.MAX_DATA_BYTES:
            break
        body = {**body, name: nothing}
    return body


async def publish(tx: Tx, call: Call, public_url: str, *types: str) -> None:
    """Write events about a call to the outbox; without `types`, the one of its status."""
    whole = CallObject.of(call, await repository.turns(tx, call.id), public_url).model_dump(mode="json", by_alias=True)
    body = fitting(whole)
    for type_ in types or (_OF_STATUS[call.status],):
        await _add(tx, call, type_, body)


async def publish_turn(tx: Tx, call: Call, turn: CallTurn, timings: dict[str, Any]) -> None:
    """`call.turn`: what was just said, for those who watch a call live; it is not sent to webhooks."""
    said = {name: getattr(turn, name) for name in TurnObject.model_fields}
    await _add(tx, call, "call.turn", SaidTurn(call_id=call.id, **said, timings=timings).model_dump())


async def publish_happening(tx: Tx, call: Call, happening: Happening) -> None:
    """What happened to a call that changes none of its states."""
    await _add(tx, call, _HAPPENINGS[type(happening)], happening.model_dump(mode="json", by_alias=True))


async def _add(tx: Tx, call: Call, type_: str, data: dict[str, Any]) -> None:
    await outbox.add(
        tx, source=SOURCE, type=type_, subject=call.id, tenant=call.tenant, project_id=call.project_id, data=data
    )
