"""How a call went: each turn with the times of its making, what else happened, and percentiles of the times."""

from datetime import datetime
from math import ceil
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer

from call_service.calls import errors
from call_service.calls.routes import CALLS
from call_service.calls.schemas import TurnObject
from shared.clock import rfc3339
from shared.db import Database
from shared.endpoints import Context, Router
from shared.envelope import Success
from shared.scopes import Scope

HAPPENINGS = ("call.degraded", "call.detected", "call.held", "call.tool", "call.transferred")

_TURNS = """
SELECT role, text, start_ms, end_ms, interrupted, timings FROM call_turns WHERE call_id = $1 ORDER BY start_ms, position
"""
_HAPPENED = "SELECT type, time, data FROM outbox WHERE subject = $1 AND type = ANY($2::text[]) ORDER BY sequence"


class TimedTurn(TurnObject):
    """A turn. `timings`: milliseconds of its steps (`…_ms`), characters spoken, and what vendors counted (`usage`)."""

    timings: dict[str, Any]


class Happened(BaseModel):
    """Something that happened to the call beside its turns."""

    type: str
    time: Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]
    data: dict[str, Any]


class Spread(BaseModel):
    """How the times of one step are spread over the call, in milliseconds."""

    count: int
    p50: int
    p95: int
    max: int

    @classmethod
    def of(cls, values: list[int]) -> Self:
        """Of at least one value; percentiles by nearest rank."""
        ranked = sorted(values)
        p50, p95 = (ranked[ceil(len(ranked) * share) - 1] for share in (0.5, 0.95))
        return cls(count=len(ranked), p50=p50, p95=p95, max=ranked[-1])


class TimelineAnswer(Success):
    """The turns in the order in which they were begun; `happened` goes back seven days."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "status": "success",
                "message": "Timeline retrieved successfully",
                "call_id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
                "turns": [
                    {
                        "role": "agent",
                        "text": "On Tuesday at ten.",
                        "start_ms": 8420,
                        "end_ms": 9730,
                        "interrupted": False,
                        "timings": {"brain_ms": 240, "synthesis_ms": 41, "voice_to_voice_ms": 640, "characters": 18},
                    }
                ],
                "happened": [
                    {
                        "type": "call.degraded",
                        "time": "2026-11-25T09:00:31.480Z",
                        "data": {"stage": "llm", "engine": "openai", "successor": "local", "at_ms": 8140},
                    }
                ],
                "percentiles": {"voice_to_voice_ms": {"count": 1, "p50": 640, "p95": 640, "max": 640}},
            }
        }
    )

    message: str = "Timeline retrieved successfully"
    call_id: str
    turns: list[TimedTurn]
    happened: list[Happened]
    percentiles: dict[str, Spread]


router = Router("Calls")


@router.add(
    "GET",
    "/call/{call_id}/timeline",
    scope=Scope.CALLS_READ,
    answer=TimelineAnswer,
    errors=[errors.CallNotFoundError],
)
async def get_timeline(ctx: Context[None]) -> TimelineAnswer:
    """Explain a call: turn by turn, what each step took."""
    calls = ctx.request.app[CALLS]
    return await timeline(calls.db, (await calls.get(ctx.tenant, ctx.path("call_id"))).id)


async def timeline(db: Database, call_id: str) -> TimelineAnswer:
    """Of a call as far as it is written."""
    turns = [TimedTurn(**row) for row in await db.fetch(_TURNS, call_id)]
    happened = [Happened(**row) for row in await db.fetch(_HAPPENED, call_id, list(HAPPENINGS))]
    return TimelineAnswer(call_id=call_id, turns=turns, happened=happened, percentiles=spreads(turns))


def spreads(turns: list[TimedTurn]) -> dict[str, Spread]:
    """Of every step that happened in any of the turns."""
    times: dict[str, list[int]] = {}
    for turn in turns:
        for name, value in turn.timings.items():
            if name.endswith("_ms"):
                times.setdefault(name, []).append(value)
    return {name: Spread.of(values) for name, values in sorted(times.items())}
