"""Takes queued calls for a worker, within the limits of tenants and trunks (ADR 8)."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol

from call_service.calls import claiming_queries as queries
from call_service.calls.claiming_queries import Queue
from call_service.calls.domain import Call
from call_service.capacity import repository as capacity
from call_service.capacity.domain import Limits, shares, starts
from shared.db import Database

MAX_QUEUES = 100


class Claimed(NamedTuple):
    """A call of the worker, to be started `delay_seconds` from now."""

    call: Call
    delay_seconds: float


class Claimer(Protocol):
    """Where a worker gets its calls from."""

    async def claim(self, limit: int) -> list[Claimed]:
        """Up to `limit` calls, which belong to the worker from now on."""


@dataclass(frozen=True, slots=True)
class CallClaimer:
    """Claims the calls that somebody asked for one by one, for one worker, `owner`."""

    db: Database
    owner: str
    lease: timedelta
    limits: Limits

    async def claim(self, limit: int) -> list[Claimed]:
        """Up to `limit` calls, shared between the tenants that have some waiting."""
        waiting = await queries.open_queues(self.db, self.limits.max_calls, MAX_QUEUES)
        claimed: list[Claimed] = []
        for queue, share in zip(waiting, shares([queue.tenant for queue in waiting], limit), strict=True):
            claimed += await self._claim_from(queue, min(share, limit - len(claimed)))
            if len(claimed) == limit:
                break
        return claimed

    async def _claim_from(self, queue: Queue, limit: int) -> list[Claimed]:
        async with self.db.transaction() as tx:
            room = await capacity.lock(tx, queue.tenant, queue.trunk_id, self.limits)
            moments = starts(room.now, min(limit, room.places), list(room.paces.values()))
            if not moments:
                return []
            calls = await queries.claim(tx, queue, self.owner, self.lease, len(moments))
            await capacity.book(tx, room, moments[: len(calls)])
        return [
            Claimed(call, (moment - room.now).total_seconds()) for call, moment in zip(calls, moments, strict=False)
        ]
