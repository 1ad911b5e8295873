"""Takes queued calls for a worker, within the limits of tenants and trunks (ADR 8)."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, Protocol, TypeVar

import structlog
from prometheus_client import Gauge

from call_service.calls import claiming_queries as queries
from call_service.calls.claiming_queries import Queue
from call_service.calls.domain import Call
from call_service.capacity import repository as capacity
from call_service.capacity.domain import Limits, shares, starts
from shared.db import Database, DatabaseUnavailableError

log = structlog.get_logger(__name__)

MAX_QUEUES = 100
LONGEST_WAIT = Gauge(
    "talkstack_worker_longest_wait_seconds",
    "How long the first call has waited that no limit and no pace of its customer or trunk holds back.",
)

_Source = TypeVar("_Source")


class Claimed(NamedTuple):
    """A call of the worker, to be started `delay_seconds` from now."""

    call: Call
    delay_seconds: float


class Claimer(Protocol):
    """Where a worker gets its calls from."""

    async def claim(self, limit: int) -> list[Claimed]:
        """Up to `limit` calls, which belong to the worker from now on."""


async def claim_each(
    offers: Iterable[tuple[_Source, int]], claim: Callable[[_Source, int], Awaitable[list[Claimed]]], limit: int
) -> list[Claimed]:
    """Up to `limit` calls from sources in turn, each with the places it is offered.

    What was claimed is committed and has to be run, so a source that fails loses nothing of the others: it is logged,
    and its places go to the next one.

    Raises:
        DatabaseUnavailableError: before anything was claimed.
    """
    claimed: list[Claimed] = []
    passed_on = 0
    for source, share in offers:
        offered = min(share + passed_on, limit - len(claimed))
        passed_on = 0
        try:
            claimed += await claim(source, offered)
        except DatabaseUnavailableError:
            if not claimed:
                raise
            log.warning("database lost between claims", exc_info=True)
            break
        except Exception:
            log.exception("cannot claim from", source=source)
            passed_on = offered
        if len(claimed) == limit:
            break
    return claimed


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
        offered = shares([queue.tenant for queue in waiting], limit)
        return await claim_each(zip(waiting, offered, strict=True), self._claim_from, limit)

    async def measure(self) -> None:
        """Set the gauge."""
        LONGEST_WAIT.set(await queries.longest_wait(self.db, self.limits.max_calls))

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
