"""The query about usage."""

from datetime import date

from call_service.usage.schemas import UsageRow
from shared.db import Database


async def by_day(db: Database, tenant: str, first: date, last: date, project_id: str | None) -> list[UsageRow]:
    """Calls made from `first` to `last` (UTC days, both included)."""
    rows = await db.fetch(
        """SELECT (created_at AT TIME ZONE 'UTC')::date AS day, project_id::text, currency, count(*) AS calls,
               count(answered_at) AS answered,
               coalesce(sum(ceil(extract(epoch FROM ended_at - answered_at))), 0) / 60 AS minutes, sum(cost) AS cost
           FROM calls
           WHERE tenant = $1 AND ($4::uuid IS NULL OR project_id = $4)
               AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'
               AND created_at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
           GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2, 3""",
        tenant,
        first,
        last,
        project_id,
    )
    return [UsageRow.model_validate(dict(row)) for row in rows]
