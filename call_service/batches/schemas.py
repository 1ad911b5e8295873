"""Bodies of requests and answers about batches."""

import base64
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SkipValidation,
    ValidationInfo,
    field_validator,
    model_validator,
)

from call_service.batches.domain import Batch, Contact, Decision, Retry, Window
from call_service.calls.schemas import Required
from shared.clock import rfc3339
from shared.e164 import E164
from shared.envelope import Success
from shared.forms import Upload
from shared.http_client import MAX_URL_LENGTH
from shared.moments import GivenMoment

_ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"
_PROJECT = "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f"
_AGENT = "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f"
_CALL = "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f"


def _parsed(value: Any) -> Any:
    """A form has text only: objects come as JSON."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError("is not JSON") from error


def _signing_secret(secret: SecretStr) -> SecretStr:
    prefix, _, encoded = secret.get_secret_value().partition("_")
    try:
        is_valid = prefix == "whsec" and 24 <= len(base64.b64decode(encoded, validate=True)) <= 64
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ValueError("must be `whsec_` and the base64 of 24 to 64 bytes")
    return secret


class BatchForm(BaseModel):
    """A file of contacts, and the rules by which they are called."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        json_schema_extra={
            "example": {
                "projectId": _PROJECT,
                "agentId": _AGENT,
                "file": "number,name,timezone\n+12025550100,Anna,America/New_York\n",
                "scheduleAt": "2026-11-26T09:00:00Z",
                "window": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": "09:00-18:00"},
                "maxConcurrency": 20,
                "callsPerSecond": 2,
                "retry": {"on": ["busy", "no-answer"], "max": 2, "delayMinutes": 60},
                "attemptsPerDay": 2,
                "budget": "50.00",
                "preDialUrl": "https://example.com/may-we-call",
                "preDialSecret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            }
        },
    )

    project_id: Required = Field(alias="projectId")
    agent_id: Required | None = Field(None, alias="agentId", description="Default: the project's active agent.")
    file: Upload = Field(description=".csv or .xlsx with a column `number`; other columns become variables.")
    schedule_at: GivenMoment | None = Field(None, alias="scheduleAt", description="Nobody is called earlier.")
    window: Annotated[Window, BeforeValidator(_parsed)] | None = Field(
        None, description="Days and hours in the callee's own time zone: the column `timezone`, else by the number."
    )
    max_concurrency: int | None = Field(None, alias="maxConcurrency", ge=1, le=10_000)
    calls_per_second: float | None = Field(
        None, alias="callsPerSecond", ge=0.01, le=100, allow_inf_nan=False, description="Spread evenly."
    )
    retry: Annotated[Retry, BeforeValidator(_parsed)] = Retry()
    attempts_per_day: int | None = Field(
        None,
        alias="attemptsPerDay",
        ge=1,
        le=10,
        description="Calls to one number within 24 h, other batches included.",
    )
    budget: Decimal | None = Field(
        None,
        gt=0,
        max_digits=14,
        decimal_places=6,
        description="The most that its calls may cost; each live call reserves what it can cost at most.",
    )

    pre_dial_url: str | None = Field(
        None,
        alias="preDialUrl",
        max_length=MAX_URL_LENGTH,
        description="Asked before each dial (docs: batches); nobody is dialled whom it has not agreed to.",
    )
    pre_dial_secret: Annotated[SecretStr, AfterValidator(_signing_secret)] | None = Field(
        None,
        alias="preDialSecret",
        description="Signs what `preDialUrl` is sent (Standard Webhooks): `whsec_` and base64 of 24 to 64 bytes.",
    )

    @model_validator(mode="before")
    @classmethod
    def _signs_what_is_asked(cls, fields: dict[str, Any]) -> dict[str, Any]:
        """A secret that is missing is refused as one that is no secret, so that the answer names its field."""
        return {"preDialSecret": "", **fields} if "preDialUrl" in fields else fields

    @field_validator("pre_dial_secret")
    @classmethod
    def _goes_with_the_url(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if info.data.get("pre_dial_url", "") is None:
            raise ValueError("goes with preDialUrl, which is missing")
        return secret


class RejectedRow(BaseModel):
    """A row that will not be called. `row` is its number in a spreadsheet, the header being row 1."""

    row: int
    number: str
    reason: str


class AcceptedBatch(BaseModel):
    """What became of an uploaded file; `rejected` lists the first 1000 of `rejectedCount` rows."""

    id: str
    status: str
    total: int
    accepted: int
    rejected_count: int = Field(serialization_alias="rejectedCount")
    rejected: list[RejectedRow]


class BatchAnswer(Success):
    """The file was read, and its contacts will be called."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "batch accepted.",
                "status": "success",
                "batch": {
                    "id": _ID,
                    "status": "running",
                    "total": 2,
                    "accepted": 1,
                    "rejectedCount": 1,
                    "rejected": [{"row": 3, "number": "", "reason": "The number is missing."}],
                },
            }
        }
    )

    message: str = "batch accepted."
    batch: AcceptedBatch


_BATCH_EXAMPLE: dict[str, Any] = {
    "id": _ID,
    "status": "running",
    "reason": None,
    "projectId": _PROJECT,
    "agentId": _AGENT,
    "agentVersion": 3,
    "fileName": "customers.csv",
    "total": 1000,
    "accepted": 990,
    "finished": 400,
    "active": 20,
    "spent": 12.5,
    "scheduleAt": "2026-11-26T09:00:00.000Z",
    "window": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": "09:00-18:00"},
    "maxConcurrency": 20,
    "callsPerSecond": 2.0,
    "retry": {"on": ["busy", "no-answer"], "max": 2, "delayMinutes": 60},
    "attemptsPerDay": 2,
    "budget": 50.0,
    "preDialUrl": "https://example.com/may-we-call",
    "created_at": "2026-11-25T15:30:00.000Z",
    "started_at": "2026-11-26T09:00:00.310Z",
    "completed_at": None,
}


class BatchObject(BaseModel):
    """A batch. Contacts that are `active` are being called, `finished` ones will not be called again."""

    model_config = ConfigDict(json_schema_extra={"example": _BATCH_EXAMPLE})

    id: str
    status: str
    reason: str | None = Field(description="Why it is paused: paused_by_api, budget_spent or failure_rate.")
    project_id: str = Field(serialization_alias="projectId")
    agent_id: str = Field(serialization_alias="agentId")
    agent_version: int = Field(serialization_alias="agentVersion")
    file_name: str = Field(serialization_alias="fileName")
    total: int
    accepted: int
    finished: int
    active: int
    spent: float
    schedule_at: str = Field(serialization_alias="scheduleAt")
    window: SkipValidation[Window | None]
    max_concurrency: int | None = Field(serialization_alias="maxConcurrency")
    calls_per_second: float | None = Field(serialization_alias="callsPerSecond")
    retry: SkipValidation[Retry]
    attempts_per_day: int | None = Field(serialization_alias="attemptsPerDay")
    budget: float | None
    pre_dial_url: str | None = Field(serialization_alias="preDialUrl")
    created_at: str
    started_at: str | None
    completed_at: str | None

    @classmethod
    def of(cls, batch: Batch, **more: Any) -> Self:
        """The public view of a stored batch."""
        return cls(
            id=batch.id,
            status=batch.status.value,
            reason=batch.status_reason,
            project_id=batch.project_id,
            agent_id=batch.agent_id,
            agent_version=batch.agent_version,
            file_name=batch.file_name,
            total=batch.total,
            accepted=batch.accepted,
            finished=batch.finished,
            active=batch.active,
            spent=float(batch.spent),
            schedule_at=rfc3339(batch.schedule_at),
            window=batch.calling_window,
            max_concurrency=batch.max_concurrency,
            calls_per_second=batch.calls_per_second,
            retry=batch.retry,
            attempts_per_day=batch.attempts_per_day,
            budget=None if batch.budget is None else float(batch.budget),
            pre_dial_url=batch.pre_dial_url,
            created_at=rfc3339(batch.created_at),
            started_at=_when(batch.started_at),
            completed_at=_when(batch.completed_at),
            **more,
        )


class DecisionObject(BaseModel):
    """Why a contact was dialled, had to wait or was dropped, and when."""

    at: str
    decision: str
    reason: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, decision: Decision) -> Self:
        return cls(at=rfc3339(decision.at), decision=decision.decision, reason=decision.reason, detail=decision.detail)


class CountedBatch(BatchObject):
    """A batch with its contacts counted by state: rejected, pending, dialing, or how their last call ended.

    `decisions` are the latest hundred about the batch as a whole: hours that are over, pauses, an open circuit breaker.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                **_BATCH_EXAMPLE,
                "counts": {"rejected": 10, "pending": 570, "dialing": 20, "completed": 370, "no-answer": 30},
                "decisions": [
                    {
                        "at": "2026-11-26T23:00:00.120Z",
                        "decision": "wait",
                        "reason": "outside_window",
                        "detail": {"lane": "America/New_York", "opens_at": "2026-11-27T14:00:00.000Z"},
                    }
                ],
            }
        }
    )

    counts: dict[str, int]
    decisions: list[DecisionObject]


def _when(moment: datetime | None) -> str | None:
    return rfc3339(moment) if moment else None


class BatchPage(BaseModel):
    """A page of batches, newest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_BATCH_EXAMPLE], "next_cursor": None}})

    data: list[BatchObject]
    next_cursor: str | None


class ContactObject(BaseModel):
    """A row of the file, its last call, and every decision about it. A pending one waits at least until `due_at`."""

    row: int
    number: str
    state: str
    reason: str | None
    attempts: int
    call_id: str | None
    due_at: str | None
    ended_at: str | None
    decisions: list[DecisionObject]

    @classmethod
    def of(cls, contact: Contact, decisions: list[Decision]) -> Self:
        """The public view of a stored contact."""
        return cls(
            row=contact.line,
            number=contact.number,
            state=contact.state,
            reason=contact.reason,
            attempts=contact.attempts,
            call_id=contact.call_id,
            due_at=rfc3339(contact.due_at) if contact.state == "pending" else None,
            ended_at=_when(contact.ended_at),
            decisions=[DecisionObject.of(decision) for decision in decisions],
        )


class ContactPage(BaseModel):
    """A page of contacts in the order of the file."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "data": [
                    {
                        "row": 2,
                        "number": "+12025550100",
                        "state": "completed",
                        "reason": "callee_hung_up",
                        "attempts": 1,
                        "call_id": _CALL,
                        "due_at": None,
                        "ended_at": "2026-11-26T14:02:31.480Z",
                        "decisions": [
                            {
                                "at": "2026-11-26T14:02:00.000Z",
                                "decision": "dial",
                                "reason": "due",
                                "detail": {
                                    "call_id": _CALL,
                                    "attempt": 1,
                                    "local_times": {"America/New_York": "Thu 09:02"},
                                },
                            }
                        ],
                    }
                ],
                "next_cursor": None,
            }
        }
    )

    data: list[ContactObject]
    next_cursor: str | None


class ResumeRequest(BaseModel):
    """How to go on; a batch that has spent its budget needs a higher one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"budget": "80.00"}})

    budget: Decimal | None = Field(None, gt=0, max_digits=14, decimal_places=6)


class DoNotCallPath(BaseModel):
    """The number in the path."""

    number: E164


_ENTRY_EXAMPLE: dict[str, Any] = {"number": "+12025550100", "created_at": "2026-11-25T15:30:00.000Z"}


class DoNotCallEntry(BaseModel):
    """A number that is not called, and since when."""

    model_config = ConfigDict(json_schema_extra={"example": _ENTRY_EXAMPLE})

    number: str
    created_at: str


class DoNotCallPage(BaseModel):
    """A page of the do-not-call list, in the order of the numbers."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_ENTRY_EXAMPLE], "next_cursor": None}})

    data: list[DoNotCallEntry]
    next_cursor: str | None


def future(moment: datetime | None, now: datetime) -> datetime:
    """When a batch begins: as scheduled, at once when that is past."""
    return max(now, moment) if moment else now
