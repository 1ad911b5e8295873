"""Room for calls of a tenant and of a trunk, decided under the lock of the tenant.

A trunk belongs to one tenant, so that lock guards it too. Live calls are counted, not kept: the transaction that ends a
call gives its place back, whoever ends it, and that of its second leg too. Who holds this lock waits for no call and no
batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from call_service.capacity.domain import Limits, Pace, in_step, spacing
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
    SELECT count(*) AS of_tenant,
        count(*) FILTER (WHERE trunk_id = $2) + count(*) FILTER (WHERE trunk_id = $2 AND has_second_leg) AS of_trunk
    FROM calls WHERE tenant = $1 AND owner IS NOT NULL AND ended_at IS NULL
) AS live LEFT JOIN trunks ON trunks.id = $2 AND trunks.tenant = $1
"""


@dataclass(frozen=True, slots=True)
class Room:
    """What fits as of `now`: so many more calls, at these paces by the id of the tenant and of the trunk.

    Without a trunk that is known, `of_trunk` is None. Where a limit was lowered there is less than nothing.
    """

    now: datetime
    of_tenant: int
    of_trunk: int | None
    paces: dict[str, Pace]

    @property
    def places(self) -> int:
        """How many more calls there may be."""
        return max(0, self.of_tenant if self.of_trunk is None else min(self.of_tenant, self.of_trunk))


async def lock(tx: Tx, tenant: str, trunk_id: str | None, limits: Limits) -> Room:
    """The room of a tenant on a trunk (None: calls without one); nobody else of hers claims until the commit."""
    scopes = [tenant, *([trunk_id] if trunk_id else [])]
    booked = {str(row["id"]): row["booked"] for row in await tx.fetch(_LOCK, scopes)}
    live = await tx.fetchrow(_LIVE, tenant, trunk_id)
    assert live is not None
    paces = {tenant: Pace(spacing(limits.calls_per_second), booked[tenant])}
    of_trunk = None
    if trunk_id and live["max_concurrent"] is not None:
        paces[trunk_id] = Pace(spacing(live["calls_per_second"]), booked[trunk_id])
        of_trunk = live["max_concurrent"] - live["of_trunk"]
    return Room(live["now"], limits.max_calls - live["of_tenant"], of_trunk, paces)


async def book(tx: Tx, room: Room, moments: Sequence[datetime]) -> None:
    """Calls begin at these moments."""
    after = {scope: pace.with_starts(moments, room.now) for scope, pace in room.paces.items()}
    await tx.executemany(
        "UPDATE dial_paces SET booked = $2, next_at = $3 WHERE id = $1",
        [(scope, list(pace.booked), pace.free_from(room.now)) for scope, pace in after.items()],
    )


async def book_next(tx: Tx, room: Room, longest: timedelta | None = None) -> timedelta | None:
    """A call begins as soon as every pace allows it: how long until then. None: not within `longest`."""
    moment = in_step(room.now, list(room.paces.values()))
    if longest is not None and moment - room.now > longest:
        return None
    await book(tx, room, [moment])
    return moment - room.now
