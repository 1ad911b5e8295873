"""A batch, its contacts and its rules, without I/O."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)")

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = get_args(Day)


class BatchStatus(StrEnum):
    """The states of a batch; the last two are final."""

    SCHEDULED = "scheduled"
    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELED = "canceled"


FINAL = frozenset({BatchStatus.COMPLETED, BatchStatus.CANCELED})


class Window(BaseModel):
    """When the callee may be called, by the clock on her own wall: `{"days": ["mon"], "hours": "09:00-18:00"}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[Day, ...] = Field(DAYS, min_length=1, max_length=7)
    hours: str = Field(pattern=f"^{_HOURS.pattern}$", description="`HH:MM-HH:MM`; the end is not included.")

    @model_validator(mode="after")
    def _is_not_empty(self) -> Self:
        start, end = self.minutes
        if not start < end <= 24 * 60:
            raise ValueError("hours must end after they start, on the same day")
        return self

    @property
    def minutes(self) -> tuple[int, int]:
        """Start and end in minutes since midnight."""
        start, end = (clock.split(":") for clock in self.hours.split("-"))
        return int(start[0]) * 60 + int(start[1]), int(end[0]) * 60 + int(end[1])


class Retry(BaseModel):
    """After which ends a contact is called again, how often at most, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    on: tuple[Literal["busy", "no-answer", "voicemail"], ...] = ("busy", "no-answer")
    max: int = Field(default=0, ge=0, le=10, description="Further attempts after the first.")
    delay_minutes: int = Field(default=60, alias="delayMinutes", ge=1, le=7 * 24 * 60)

    @property
    def delay(self) -> timedelta:
        return timedelta(minutes=self.delay_minutes)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as stored. `active` contacts are being called, `finished` ones will not be called again."""

    id: str
    tenant: str
    project_id: str
    agent_id: str
    agent_version: int
    agent: dict[str, Any]
    from_number: str
    file_name: str
    status: BatchStatus
    status_reason: str | None
    total: int
    accepted: int
    finished: int
    active: int
    spent: Decimal
    schedule_at: datetime
    calling_window: Window | None
    retry: Retry
    max_concurrency: int | None
    calls_per_second: float | None
    attempts_per_day: int | None
    budget: Decimal | None
    pre_dial_url: str | None
    next_dial_at: datetime
    blocked_until: datetime
    recent: str
    trips: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Contact:
    """A line of the file, and what became of it. `line` is its row in a spreadsheet, the header being row 1.

    `pre_dial_failures`: how often in a row the customer's server did not say whether it may be called.
    """

    line: int
    number: str
    lane: str
    variables: dict[str, str]
    state: str
    reason: str | None
    due_at: datetime
    attempts: int
    pre_dial_failures: int
    call_id: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Evidence: what was decided about a contact (or, without `line`, about the batch), why, and when."""

    line: int | None
    at: datetime
    decision: str
    reason: str
    detail: dict[str, Any]
