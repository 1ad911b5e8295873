"""Bodies about usage."""

from datetime import UTC, date, datetime, timedelta
from typing import Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from call_service.calls.schemas import Day
from call_service.vendors.usage import Kind
from shared.envelope import Success

LONGEST = timedelta(days=366)
USUAL = timedelta(days=29)


class UsageQuery(BaseModel):
    """Which UTC days, both included; without them the last thirty. At most 366 days."""

    model_config = ConfigDict(extra="forbid")

    from_: Day | None = Field(None, alias="from")
    to: Day | None = None
    project_id: UUID | None = Field(None, alias="projectId")

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        first, last = self.days(datetime.now(UTC).date())
        if not timedelta(0) <= last - first < LONGEST:
            raise ValueError("`from` must not be after `to`, and at most 366 days may be asked for")
        return self

    def days(self, today: date) -> tuple[date, date]:
        """The first and the last day."""
        last = self.to or max(today, self.from_ or today)
        return self.from_ or last - USUAL, last


class LatencyQuery(UsageQuery):
    """As that of usage; the times are those of each agent, or of each carrier."""

    group_by: Literal["agent", "carrier"] = Field("agent", alias="groupBy")


class CostRow(BaseModel):
    """What calls used of one thing that somebody charges for, and what that cost."""

    kind: Kind
    provider: str
    model: str
    unit: str
    amount: float
    cost: float
    currency: str


class UsageRow(BaseModel):
    """One project on one day. `minutes` are answered time, started seconds counted whole."""

    day: date
    project_id: str = Field(serialization_alias="projectId")
    calls: int
    answered: int
    minutes: float
    cost: float
    currency: str


class UsageAnswer(BaseModel):
    """By day, newest first, and project; days without calls are left out. `costs` are those of all these days."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "from": "2026-11-01",
                "to": "2026-11-25",
                "data": [
                    {
                        "day": "2026-11-25",
                        "projectId": "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f",
                        "calls": 12,
                        "answered": 9,
                        "minutes": 14.5,
                        "cost": 0.725,
                        "currency": "USD",
                    }
                ],
                "costs": [
                    {
                        "kind": "tts",
                        "provider": "cartesia",
                        "model": "sonic-3",
                        "unit": "characters",
                        "amount": 4210,
                        "cost": 0.1263,
                        "currency": "USD",
                    }
                ],
            }
        }
    )

    from_: date = Field(serialization_alias="from")
    to: date
    data: list[UsageRow]
    costs: list[CostRow]


class Percentiles(BaseModel):
    """Of one step of a turn, in milliseconds."""

    count: int
    p50: float
    p95: float
    p99: float


class LatencyRow(BaseModel):
    """One agent, or one carrier. `steps` by the names that the timeline of a call has, e.g. `voice_to_voice_ms`."""

    agent_id: str | None = Field(None, serialization_alias="agentId")
    carrier: str | None = None
    calls: int
    steps: dict[str, Percentiles]


class LatencyAnswer(Success):
    """Those with most calls first, 1,000 at most. Calls without a turn are left out."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "success",
                "message": "Latency retrieved successfully",
                "from": "2026-11-01",
                "to": "2026-11-25",
                "data": [
                    {
                        "agentId": "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f",
                        "carrier": None,
                        "calls": 12,
                        "steps": {"voice_to_voice_ms": {"count": 84, "p50": 610.0, "p95": 790.5, "p99": 1210.0}},
                    }
                ],
            }
        }
    )

    message: str = "Latency retrieved successfully"
    from_: date = Field(serialization_alias="from")
    to: date
    data: list[LatencyRow]
