"""Bodies about usage."""

from datetime import UTC, date, datetime, timedelta
from typing import Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from call_service.calls.schemas import Day

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
    """By day, newest first, and project; days without calls are left out."""

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
            }
        }
    )

    from_: date = Field(serialization_alias="from")
    to: date
    data: list[UsageRow]
