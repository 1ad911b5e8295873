"""What workers read and write to take calls off the queues, one of each tenant and trunk."""

from datetime import timedelta
from typing import NamedTuple

from call_service.calls.domain import Call
from call_service.calls.repository import call_of
from call_service.capacity.domain import LOOK_AHEAD
from shared.db import Database, Tx
from shared.measuring import MOST_COUNTED

_NO_TRUNK = "00000000-0000-0000-0000-000000000000"

_OPEN_QUEUES = """
SELECT heads.tenant, heads.trunk, extract(epoch FROM now() - heads.created_at) AS waited FROM call_queues AS heads
LEFT JOIN trunks ON trunks.id = heads.trunk
CROSS JOIN LATERAL (
    SELECT count(*) AS of_tenant, count(*) FILTER (WHERE trunk_id = heads.trunk)
        + count(*) FILTER (WHERE trunk_id = heads.trunk AND has_second_leg) AS of_trunk
    FROM calls WHERE tenant = heads.tenant AND owner IS NOT NULL AND ended_at IS NULL
) AS live
WHERE live.of_tenant < $2 AND (trunks.id IS NULL OR live.of_trunk < trunks.max_concurrent)
    AND NOT EXISTS (SELECT FROM dial_paces WHERE id IN (heads.tenant, heads.trunk) AND next_at >= now() + $3::interval)
ORDER BY live.of_tenant, heads.created_at LIMIT $1
"""
_CLAIM = """
WITH taken AS MATERIALIZED (
    SELECT id FROM calls
    WHERE status = 'queued' AND owner IS NULL AND tenant = $3
        AND coalesce(trunk_id, '00000000-0000-0000-0000-000000000000'::uuid) = $4
        AND project_id NOT IN (SELECT project_id FROM deleted_projects)
    ORDER BY created_at LIMIT $5 FOR UPDATE SKIP LOCKED
)
UPDATE calls SET owner = $1, fence = fence + 1, lease_until = now() + $2::interval
FROM taken WHERE calls.id = taken.id
RETURNING calls.*
"""


class Queue(NamedTuple):
    """The calls of a tenant on a trunk; None: on no trunk."""

    tenant: str
    trunk_id: str | None


async def open_queues(db: Database, max_calls: int, limit: int) -> list[Queue]:
    """Where calls wait and may begin; the tenant with the fewest live ones first, `max_calls` being the most."""
    rows = await db.fetch(_OPEN_QUEUES, limit, max_calls, LOOK_AHEAD)
    found = ((str(row["tenant"]), str(row["trunk"])) for row in rows)
    return [Queue(tenant, None if trunk == _NO_TRUNK else trunk) for tenant, trunk in found]


async def longest_wait(db: Database, max_calls: int) -> float:
    """How many seconds the first call has waited that no limit holds back, and no pace: of these no start is booked."""
    rows = await db.fetch(_OPEN_QUEUES, MOST_COUNTED, max_calls, timedelta(0))
    return max((float(row["waited"]) for row in rows), default=0)


async def claim(tx: Tx, queue: Queue, owner: str, lease: timedelta, limit: int) -> list[Call]:
    """Take up to `limit` queued calls, oldest first. Each claim raises the fence: an older owner can't write."""
    rows = await tx.fetch(_CLAIM, owner, lease, queue.tenant, queue.trunk_id or _NO_TRUNK, limit)
    return sorted(map(call_of, rows), key=lambda call: call.created_at)
