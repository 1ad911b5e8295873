"""A call and its states, without I/O."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from call_service.voice.ports import AnsweredBy


class Status(StrEnum):
    """The states of a call, in the words of the public API (docs: call status)."""

    QUEUED = "queued"
    INITIATED = "initiated"
    RINGING = "ringing"
    IN_PROGRESS = "in-progress"
    COMPLETED = "completed"
    BUSY = "busy"
    NO_ANSWER = "no-answer"
    FAILED = "failed"
    CANCELED = "canceled"
    VOICEMAIL = "voicemail"
    SILENCE = "silence"


_ORDER = (Status.QUEUED, Status.INITIATED, Status.RINGING, Status.IN_PROGRESS)
LIVE = frozenset(_ORDER)
TERMINAL = frozenset(Status) - LIVE

# So many workers may claim a call before it is taken for one that none of them can dial.
MAX_CLAIMS = 5

Fault = Literal["callee", "agent", "tenant", "provider", "carrier", "platform", "none"]


def allowed_before(status: Status) -> frozenset[Status]:
    """The states from which a call may move to `status`: it never goes back, and a terminal state is final."""
    if status in TERMINAL:
        return LIVE
    return frozenset(_ORDER[: _ORDER.index(status)])


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: a terminal status, why in a word, and whose fault it was."""

    status: Status
    reason: str
    fault: Fault = "none"
    sip_code: int | None = None


WORKER_LOST = Outcome(Status.FAILED, "worker_lost", "platform")
WORKER_FAILED = Outcome(Status.FAILED, "worker_failed", "platform")
CANCELED_BY_API = Outcome(Status.CANCELED, "canceled_by_api")
PROJECT_DELETED = Outcome(Status.CANCELED, "project_deleted", "tenant")
PROVIDER_KEY_MISSING = Outcome(Status.FAILED, "provider_key_missing", "tenant")
ENGINE_MISSING = Outcome(Status.FAILED, "engine_missing", "platform")
PROVIDER_KEYS_UNKNOWN = Outcome(Status.FAILED, "provider_keys_unknown", "platform")
OUTCOME_UNKNOWN = Outcome(Status.FAILED, "outcome_unknown", "carrier")

_BY_CAUSE = {
    "callee_busy": Outcome(Status.BUSY, "callee_busy", "callee"),
    "no_answer": Outcome(Status.NO_ANSWER, "no_answer", "callee"),
    "declined": Outcome(Status.FAILED, "declined", "callee"),
    "invalid_number": Outcome(Status.FAILED, "invalid_number", "tenant"),
    "callee_hung_up": Outcome(Status.COMPLETED, "callee_hung_up"),
    "media_lost": Outcome(Status.FAILED, "media_lost", "carrier"),
    "carrier_unreachable": Outcome(Status.FAILED, "carrier_unreachable", "carrier"),
    "carrier_auth_failed": Outcome(Status.FAILED, "carrier_auth_failed", "tenant"),
    "trunk_busy": Outcome(Status.FAILED, "trunk_busy", "tenant"),
    "no_trunk": Outcome(Status.FAILED, "no_trunk", "tenant"),
}


def outcome_of(cause: str, sip_code: int | None) -> Outcome:
    """The outcome of a leg that ended with `cause` before it was answered."""
    known = _BY_CAUSE.get(cause, Outcome(Status.FAILED, "carrier_rejected", "carrier"))
    return Outcome(known.status, known.reason, known.fault, sip_code)


Direction = Literal["outbound", "inbound"]


@dataclass(frozen=True, slots=True)
class CallTurn:
    """One line of the transcript. Times are milliseconds since the answer."""

    role: Literal["agent", "user"]
    text: str
    start_ms: int
    end_ms: int
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A call as stored. `agent` is the snapshot it runs with; `fence` guards every write of its worker."""

    id: str
    tenant: str
    project_id: str
    agent_id: str | None  # a refused call to a number without an agent has none
    agent_version: int
    agent: dict[str, Any]
    direction: Direction
    from_number: str
    to_number: str
    status: Status
    reason: str | None
    fault: Fault
    sip_code: int | None
    dynamic_variables: dict[str, str]
    data: dict[str, Any]
    analysis: dict[str, Any] | None
    recording: str | None
    cost: Decimal
    currency: str
    created_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    completed_at: datetime | None
    fence: int
    batch_id: str | None = None
    batch_line: int | None = None
    trunk_id: str | None = None
    answered_by: AnsweredBy | None = None
    carrier: str | None = None
    costs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def was_claimed_too_often(self) -> bool:
        """Has a claimed call been claimed so often, and never dialled or completed, that it is given up?

        A claim raises the fence, and so does each way back to the queue, or to another sweeper.
        """
        return self.fence >= 2 * MAX_CLAIMS - 1

    @property
    def other_party(self) -> str:
        return self.to_number if self.direction == "outbound" else self.from_number

    @property
    def seconds(self) -> int:
        """Answered time, started seconds counted whole; 0 when nobody answered."""
        if self.answered_at is None or self.ended_at is None:
            return 0
        return -int((self.answered_at - self.ended_at).total_seconds() // 1)
