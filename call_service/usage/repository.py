"""The queries about usage."""

from datetime import date

from call_service.usage.schemas import CostRow, LatencyRow, UsageRow
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


async def costs(db: Database, tenant: str, first: date, last: date, project_id: str | None) -> list[CostRow]:
    """What the calls of these days used, the dearest first."""
    rows = await db.fetch(
        """SELECT kind, provider, model, unit, sum(amount) AS amount, sum(line.cost) AS cost, currency
           FROM calls, jsonb_to_recordset(costs) AS line
               (kind text, provider text, model text, unit text, amount numeric, cost numeric)
           WHERE tenant = $1 AND ($4::uuid IS NULL OR project_id = $4)
               AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'
               AND created_at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
           GROUP BY kind, provider, model, unit, currency
           ORDER BY sum(line.cost) DESC, kind, provider, model, unit""",
        tenant,
        first,
        last,
        project_id,
    )
    return [CostRow.model_validate(dict(row)) for row in rows]


async def latency(
    db: Database, tenant: str, first: date, last: date, project_id: str | None, *, by_agent: bool
) -> list[LatencyRow]:
    """Percentiles of the times of turns, by agent or by carrier."""
    rows = await db.fetch(
        r"""WITH asked AS (
               SELECT id, CASE WHEN $5 THEN agent_id::text END AS agent_id, CASE WHEN NOT $5 THEN carrier END AS carrier
               FROM calls
               WHERE tenant = $1 AND ($4::uuid IS NULL OR project_id = $4)
                   AND created_at >= $2::date::timestamp AT TIME ZONE 'UTC'
                   AND created_at < ($3::date + 1)::timestamp AT TIME ZONE 'UTC'
           ), steps AS (
               SELECT agent_id, carrier, step.key AS step, count(*) AS count,
                   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY step.value::text::float8) AS spread
               FROM asked JOIN call_turns ON call_id = id, jsonb_each(timings) AS step
               WHERE step.key LIKE '%\_ms' AND jsonb_typeof(step.value) = 'number'
               GROUP BY 1, 2, 3
           ), held AS (
               SELECT agent_id, carrier, count(*) AS calls FROM asked
               WHERE EXISTS (SELECT FROM call_turns WHERE call_id = id) GROUP BY 1, 2
           )
           SELECT held.*, coalesce(jsonb_object_agg(step, jsonb_build_object('count', count, 'p50', spread[1],
               'p95', spread[2], 'p99', spread[3])) FILTER (WHERE step IS NOT NULL), '{}') AS steps
           FROM held LEFT JOIN steps
               ON steps.agent_id IS NOT DISTINCT FROM held.agent_id AND steps.carrier IS NOT DISTINCT FROM held.carrier
           GROUP BY held.agent_id, held.carrier, calls ORDER BY calls DESC, held.agent_id, held.carrier LIMIT 1000""",
        tenant,
        first,
        last,
        project_id,
        by_agent,
    )
    return [LatencyRow.model_validate(dict(row)) for row in rows]
