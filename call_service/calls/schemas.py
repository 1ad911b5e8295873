"""Bodies of requests and answers about calls, as the public contract has them."""

from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import orjson
from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic_core import PydanticCustomError

from call_service.analysis import Question
from call_service.calls.costs import CostLine
from call_service.calls.domain import Call, CallTurn, Direction, Status
from call_service.voice.ports import AnsweredBy
from shared.clock import rfc3339
from shared.e164 import E164
from shared.envelope import Success
from shared.pagination import PageQuery

_ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"
_PROJECT = "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f"
_AGENT = "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f"

Required = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Variable = Annotated[str, BeforeValidator(_as_text), StringConstraints(max_length=2000)]
# Of all names and values together: every event of a call repeats them.
MAX_VARIABLES_BYTES = 64 * 1024


def _together(variables: dict[str, str]) -> dict[str, str]:
    if len(orjson.dumps(variables)) > MAX_VARIABLES_BYTES:
        raise PydanticCustomError("too_large", "All variables together may have 64 KiB as JSON")
    return variables


Variables = Annotated[
    dict[Annotated[str, StringConstraints(max_length=100)], Variable], Field(max_length=100), AfterValidator(_together)
]
Sid = Annotated[Required, Field(validation_alias=AliasChoices("sid", "callSid", "call_id"))]


class MakeCallRequest(BaseModel):
    """A call to make. Without `agentId` the project's active agent talks."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "number": "+12025550100",
                "projectId": _PROJECT,
                "agentId": _AGENT,
                "dynamicVariables": {"customer": "Anna"},
            }
        }
    )

    number: E164
    project_id: Required = Field(alias="projectId")
    agent_id: Required | None = Field(None, alias="agentId")
    dynamic_variables: Variables = Field(default_factory=dict, alias="dynamicVariables")


class QueuedCall(BaseModel):
    """What makeCall answers with."""

    call_id: str
    to: str
    from_: str = Field(serialization_alias="from")
    status: str


class MakeCallAnswer(Success):
    """The call is queued."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "call made successfully.",
                "status": "success",
                "call": {"call_id": _ID, "to": "+12025550100", "from": "+12025550199", "status": "queued"},
            }
        }
    )

    message: str = "call made successfully."
    call: QueuedCall


class CallRequest(BaseModel):
    """Which call; `sid`, `callSid` and `call_id` are one."""

    model_config = ConfigDict(json_schema_extra={"example": {"sid": _ID, "projectId": _PROJECT}})

    sid: Sid
    project_id: Required = Field(alias="projectId")


class TurnObject(BaseModel):
    """One line of the transcript. Times are milliseconds since the answer."""

    role: Literal["agent", "user"]
    text: str
    start_ms: int
    end_ms: int
    interrupted: bool


_CALL_EXAMPLE: dict[str, Any] = {
    "call_id": _ID,
    "callSid": _ID,
    "projectId": _PROJECT,
    "agentId": _AGENT,
    "agentVersion": 1,
    "answeredBy": "human",
    "direction": "outbound",
    "from": "+12025550199",
    "to": "+12025550100",
    "phoneNumber": "+12025550100",
    "status": "completed",
    "reason": "callee_hung_up",
    "fault": "none",
    "sip_code": None,
    "trunk_id": None,
    "date": "Wed, 25 Nov 2026 09:00:00 +0000",
    "created_at": "2026-11-25T09:00:00.000Z",
    "answered_at": "2026-11-25T09:00:02.120Z",
    "ended_at": "2026-11-25T09:00:31.480Z",
    "seconds": 30,
    "cost": 0.0,
    "currency": "USD",
    "costs": [
        {
            "kind": "stt",
            "provider": "deepgram",
            "model": "nova-3",
            "unit": "seconds",
            "amount": 30.0,
            "price": 0.0,
            "per": 60,
            "cost": 0.0,
        }
    ],
    "recordingUrls": [f"https://talkstack.example/call/{_ID}/recording"],
    "transcript": [
        {
            "role": "agent",
            "text": "Hello, this is Bright Dental.",
            "start_ms": 900,
            "end_ms": 2700,
            "interrupted": False,
        }
    ],
    "dynamicVariables": {},
    "data": {"name": "Anna Miller"},
    "analysis": None,
}


class CallObject(BaseModel):
    """A call, as every endpoint, event and webhook shows it."""

    model_config = ConfigDict(json_schema_extra={"example": _CALL_EXAMPLE})

    call_id: str
    call_sid: str = Field(serialization_alias="callSid")
    project_id: str = Field(serialization_alias="projectId")
    agent_id: str | None = Field(serialization_alias="agentId")
    agent_version: int = Field(serialization_alias="agentVersion")
    answered_by: AnsweredBy | None = Field(serialization_alias="answeredBy")
    direction: Direction
    from_: str = Field(serialization_alias="from")
    to: str
    phone_number: str = Field(serialization_alias="phoneNumber")
    status: str
    reason: str | None
    fault: str
    sip_code: int | None
    trunk_id: str | None
    date: str
    created_at: str
    answered_at: str | None
    ended_at: str | None
    seconds: int
    cost: float
    currency: str
    costs: list[CostLine]
    recording_urls: list[str] = Field(serialization_alias="recordingUrls")
    transcript: list[TurnObject]
    dynamic_variables: dict[str, str] = Field(serialization_alias="dynamicVariables")
    data: dict[str, Any]
    analysis: dict[str, Any] | None

    @classmethod
    def of(cls, call: Call, turns: list[CallTurn], public_url: str) -> Self:
        """The public view of a stored call."""
        return cls(
            call_id=call.id,
            call_sid=call.id,
            project_id=call.project_id,
            agent_id=call.agent_id,
            agent_version=call.agent_version,
            answered_by=call.answered_by,
            direction=call.direction,
            from_=call.from_number,
            to=call.to_number,
            phone_number=call.other_party,
            status=call.status.value,
            reason=call.reason,
            fault=call.fault,
            sip_code=call.sip_code,
            trunk_id=call.trunk_id,
            date=format_datetime(call.created_at.astimezone(UTC)),
            created_at=rfc3339(call.created_at),
            answered_at=rfc3339(call.answered_at) if call.answered_at else None,
            ended_at=rfc3339(call.ended_at) if call.ended_at else None,
            seconds=call.seconds,
            cost=float(call.cost),
            currency=call.currency,
            costs=[CostLine.model_validate(line) for line in call.costs],
            recording_urls=[f"{public_url.rstrip('/')}/call/{call.id}/recording"] if call.recording else [],
            transcript=[TurnObject.model_validate(turn, from_attributes=True) for turn in turns],
            dynamic_variables=call.dynamic_variables,
            data=call.data,
            analysis=call.analysis,
        )


class TranscriptAnswer(BaseModel):
    """What was said so far."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"call_id": _ID, "transcript": _CALL_EXAMPLE["transcript"]}}
    )

    call_id: str
    transcript: list[TurnObject]


# Far enough from the ends of the calendar to reckon with.
Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2999, 12, 31))]


class HistoryQuery(BaseModel):
    """Filters of the history. Dates are UTC days; `Before` includes the day, `After` starts with it."""

    project_id: Required = Field(alias="projectId")
    page_size: int = Field(20, alias="pageSize", ge=1, le=100)
    cursor: str | None = Field(None, max_length=500)
    to: E164 | None = None
    from_: E164 | None = Field(None, alias="from")
    status: list[Status] = Field(default_factory=list)
    direction: Direction | None = None
    start_time: Day | None = Field(None, alias="startTime")
    start_time_before: Day | None = Field(None, alias="startTimeBefore")
    start_time_after: Day | None = Field(None, alias="startTimeAfter")
    end_time: Day | None = Field(None, alias="endTime")
    end_time_before: Day | None = Field(None, alias="endTimeBefore")
    end_time_after: Day | None = Field(None, alias="endTimeAfter")

    @property
    def created(self) -> tuple[datetime | None, datetime | None]:
        return _interval(self.start_time, self.start_time_before, self.start_time_after)

    @property
    def ended(self) -> tuple[datetime | None, datetime | None]:
        return _interval(self.end_time, self.end_time_before, self.end_time_after)


def _interval(day: date | None, before: date | None, after: date | None) -> tuple[datetime | None, datetime | None]:
    """The half-open interval of moments that satisfies all three filters."""
    starts = [moment for moment in (day, after) if moment]
    ends = [moment for moment in (day, before) if moment]
    start = datetime.combine(max(starts), datetime.min.time(), UTC) if starts else None
    end = datetime.combine(min(ends) + timedelta(days=1), datetime.min.time(), UTC) if ends else None
    return start, end


class HistoryAnswer(Success):
    """A page of calls, newest first."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "successfully fetched call history.",
                "status": "success",
                "calls": [_CALL_EXAMPLE],
                "next_cursor": None,
            }
        }
    )

    message: str = "successfully fetched call history."
    calls: list[CallObject]
    next_cursor: str | None


class CallListQuery(PageQuery):
    """Which calls; `status` may repeat."""

    project_id: UUID | None = Field(None, alias="projectId")
    status: list[Status] = Field(default_factory=list, max_length=len(Status))
    direction: Direction | None = None


class CallList(BaseModel):
    """A page of calls, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_CALL_EXAMPLE], "next_cursor": None}})

    data: list[CallObject]
    next_cursor: str | None


_CANCELED_EXAMPLE = _CALL_EXAMPLE | {
    "status": "canceled",
    "reason": "canceled_by_api",
    "answered_at": None,
    "seconds": 0,
    "recordingUrls": [],
    "transcript": [],
    "data": {},
}
_ENDING_EXAMPLE = _CALL_EXAMPLE | {"status": "in-progress", "reason": None, "ended_at": None, "recordingUrls": []}


class CancelAnswer(Success):
    """The call was canceled."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": "call canceled.", "status": "success", "call": _CANCELED_EXAMPLE}}
    )

    message: str = "call canceled."
    call: CallObject


class EndAnswer(Success):
    """The agent was asked to say goodbye; `call.ended` follows."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"message": "the call is being ended.", "status": "success", "call": _ENDING_EXAMPLE}
        }
    )

    message: str = "the call is being ended."
    call: CallObject


class AnalysisRequest(BaseModel):
    """Questions about an ended call."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"sid": _ID, "questions": [{"question": "Was an appointment made?", "type": "Boolean"}]}
        }
    )

    sid: Sid
    questions: list[Question] = Field(default_factory=list, max_length=50)


class AnalysisAnswer(Success):
    """What the conversation came to."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "successfully analysed the call.",
                "status": "success",
                "analysis": {
                    "sentiment": "positive",
                    "status": "completed",
                    "summary": "Anna Miller asked for an appointment on Thursday at three in the afternoon.",
                    "custom_analysis_data": {},
                    "answers": [
                        {"question": "Was an appointment made?", "type": "Boolean", "answer": "Yes", "reason": None}
                    ],
                },
            }
        }
    )

    message: str = "successfully analysed the call."
    analysis: dict[str, Any]
