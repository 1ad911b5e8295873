"""The endpoint about usage."""

from datetime import UTC, datetime

from call_service.usage import repository
from call_service.usage.schemas import UsageAnswer, UsageQuery
from shared.endpoints import Context, Router, unprocessable
from shared.resources import DATABASE
from shared.scopes import Scope

router = Router("Usage")


@router.add("GET", "/usage", query=UsageQuery, answer=UsageAnswer, invalid=unprocessable, scope=Scope.CALLS_READ)
async def get_usage(ctx: Context[None]) -> UsageAnswer:
    """Read calls, minutes and cost by day and project."""
    query = ctx.query(UsageQuery, unprocessable)
    first, last = query.days(datetime.now(UTC).date())
    project = str(query.project_id) if query.project_id else None
    rows = await repository.by_day(ctx.request.app[DATABASE], ctx.tenant, first, last, project)
    return UsageAnswer(from_=first, to=last, data=rows)
