"""Room for calls of a tenant and of a trunk, decided under the lock of the tenant.

A trunk belongs to one tenant, so that lock guards it too. Live calls are counted, not kept: the transaction that ends a
call gives its place back, whoever ends it. Whoever holds this lock waits for no call and no batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from call_service.capacity.domain import Limits, Pace, spacing
from shared.db import Tx

# The age and how many at a time, for `shared.pruning`. `SKIP LOCKED`: what is locked is being renewed.
PRUNE = """
DELETE FROM dial_paces WHERE id IN (
    SELECT id FROM dial_paces WHERE next_at < now() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED)
"""
_LOCK = """
INSERT INTO dial_paces AS pace (id) SELECT id FROM unnest($1::uuid[]) AS id
ON CONFLICT (id) DO UPDATE SET next_at = pace.next_at RETURNING id, booked
"""
# A statement of its own: its snapshot has to be taken when the lock is held.
_LIVE = """
SELECT clock_timestamp() AS now, of_tenant, of_trunk, calls_per_second, max_concurrent
FROM (
    SELECT count(*) AS of_tenant, count(*) FILTER (WHERE trunk_id = $2) AS of_trunk
    FROM calls WHERE tenant = $1 AND owner IS NOT NULL AND ended_at IS NULL
) AS live LEFT JOIN trunks ON trunks.id = $2 AND trunks.tenant = $1
"""


@dataclass(frozen=True, slots=True)
class Room:
    """What fits as of `now`: so many more calls, at these paces by the id of the tenant and of the trunk."""

    now: datetime
    places: int
    paces: dict[str, Pace]


async def lock(tx: Tx, tenant: str, trunk_id: str | None, limits: Limits) -> Room:
    """The room of a tenant on a trunk (None: calls without one); nobody else of hers claims until the commit."""
    scopes = [tenant, *([trunk_id] if trunk_id else [])]
    booked = {str(row["id"]): row["booked"] for row in await tx.fetch(_LOCK, scopes)}
    live = await tx.fetchrow(_LIVE, tenant, trunk_id)
    assert live is not None
    paces = {tenant: Pace(spacing(limits.calls_per_second), booked[tenant])}
    places = limits.max_calls - live["of_tenant"]
    if trunk_id and live["max_concurrent"] is not None:
        paces[trunk_id] = Pace(spacing(live["calls_per_second"]), booked[trunk_id])
        places = min(places, live["max_concurrent"] - live["of_trunk"])
    return Room(live["now"], max(0, places), paces)


async def book(tx: Tx, room: Room, moments: Sequence[datetime]) -> None:
    """Calls begin at these moments."""
    after = {scope: pace.with_starts(moments, room.now) for scope, pace in room.paces.items()}
    await tx.executemany(
        "UPDATE dial_paces SET booked = $2, next_at = $3 WHERE id = $1",
        [(scope, list(pace.booked), pace.free_from(room.now)) for scope, pace in after.items()],
    )
