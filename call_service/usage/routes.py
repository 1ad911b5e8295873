"""The endpoints about usage."""

from datetime import UTC, datetime

from call_service.usage import repository
from call_service.usage.schemas import LatencyAnswer, LatencyQuery, UsageAnswer, UsageQuery
from shared.endpoints import Context, Router, unprocessable
from shared.resources import DATABASE
from shared.scopes import Scope

router = Router("Usage")


@router.add("GET", "/usage", query=UsageQuery, answer=UsageAnswer, invalid=unprocessable, scope=Scope.CALLS_READ)
async def get_usage(ctx: Context[None]) -> UsageAnswer:
    """Read calls, minutes and cost by day and project, and what vendors were used for."""
    query = ctx.query(UsageQuery, unprocessable)
    first, last = query.days(datetime.now(UTC).date())
    project = str(query.project_id) if query.project_id else None
    asked = (ctx.request.app[DATABASE], ctx.tenant, first, last, project)
    rows, costs = await repository.by_day(*asked), await repository.costs(*asked)
    return UsageAnswer(from_=first, to=last, data=rows, costs=costs)


@router.add(
    "GET",
    "/usage/latency",
    query=LatencyQuery,
    answer=LatencyAnswer,
    invalid=unprocessable,
    scope=Scope.CALLS_READ,
)
async def get_latency(ctx: Context[None]) -> LatencyAnswer:
    """Read what the steps of turns took, by agent or carrier."""
    query = ctx.query(LatencyQuery, unprocessable)
    first, last = query.days(datetime.now(UTC).date())
    project = str(query.project_id) if query.project_id else None
    by_agent = query.group_by == "agent"
    rows = await repository.latency(ctx.request.app[DATABASE], ctx.tenant, first, last, project, by_agent=by_agent)
    return LatencyAnswer(from_=first, to=last, data=rows)
