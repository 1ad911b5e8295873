"""Turns due contacts into calls of the worker that asks, fairly between tenants and within the rules of each batch.

All decisions about one batch are made under the lock of its row, so that any number of workers keep its concurrency,
pace and budget together; what its tenant and its trunk have room for, under the lock of the tenant (ADR 0008).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter

from call_service.batches import dialing_queries as queries
from call_service.batches import events, repository, rules
from call_service.batches.dialing_queries import Due
from call_service.batches.domain import Batch, BatchStatus
from call_service.batches.rules import Choice
from call_service.batches.windows import Interval, next_open
from call_service.calls import events as call_events
from call_service.calls import repository as calls
from call_service.calls.claiming import Claimed, claim_each
from call_service.calls.service import fill_agent
from call_service.capacity import repository as capacity
from call_service.capacity.domain import ASKING, Limits, shares, starts
from shared.clock import rfc3339
from shared.db import Database, Tx
from shared.ids import new_id

log = structlog.get_logger(__name__)

MAX_BATCHES = 100
# Contacts looked at beyond those wanted, because some may not be dialled.
SPARE = 100
# Beyond what the agent's limit allows: the goodbye, and started seconds counted whole.
GRACE_SECONDS = 30

DECISIONS = Counter("talkstack_batch_decisions", "Decisions about due contacts.", ["choice", "reason"])


@dataclass(frozen=True, slots=True)
class BatchDialer:
    """Claims calls of batches for one worker, `owner`."""

    db: Database
    owner: str
    lease: timedelta
    price_per_minute: Decimal
    public_url: str
    limits: Limits

    async def claim(self, limit: int) -> list[Claimed]:
        """Up to `limit` calls, shared between the batches that have something to dial."""
        due = await queries.due_batches(self.db, self.limits.max_calls, MAX_BATCHES)
        offered = shares([tenant for _batch_id, tenant in due], limit)
        ids = [batch_id for batch_id, _tenant in due]
        return await claim_each(zip(ids, offered, strict=True), self._claim_from, limit)

    async def _claim_from(self, batch_id: str, limit: int) -> list[Claimed]:
        async with self.db.transaction() as tx:
            found = await queries.lock_open(tx, batch_id)
            if found is None:
                return []
            batch, trunk_id, now = found
            await self._move_lanes(tx, batch, now)
            if rules.is_budget_spent(batch, self._dial_cost(batch)):
                await self._pause(tx, batch)
                return []
            allowed = rules.allowance(batch, limit, self._dial_cost(batch))
            return await self._begin_some(tx, batch, trunk_id, allowed) if allowed else []

    async def _begin_some(self, tx: Tx, batch: Batch, trunk_id: str | None, limit: int) -> list[Claimed]:
        room = await capacity.lock(tx, batch.tenant, trunk_id, self.limits)
        paces = [*room.paces.values(), *rules.paces(batch)]
        lead = ASKING if batch.pre_dial_url else timedelta(0)
        moments = starts(room.now, min(limit, room.places), paces, batch.next_dial_at, lead=lead)
        if not moments:
            return []
        due = await queries.due_contacts(tx, batch, room.now, len(moments) + SPARE)
        chosen, dropped = await self._choose(tx, batch, due, len(moments))
        pairs = zip(chosen, moments, strict=False)
        claimed = [await self._begin(tx, batch, one, moment, room.now) for one, moment in pairs]
        await queries.dialling(tx, batch.id, [call for call, _delay_seconds in claimed])
        await capacity.book(tx, room, moments[: len(claimed)])
        await self._account(tx, batch, moments[: len(claimed)], dropped)
        return claimed

    def _dial_cost(self, batch: Batch) -> Decimal:
        return self.price_per_minute * (int(batch.agent["maxCallSeconds"]) + GRACE_SECONDS) / 60

    async def _move_lanes(self, tx: Tx, batch: Batch, now: datetime) -> None:
        """Lanes whose hours are over get their next ones; their contacts need not be touched."""
        if batch.calling_window is None:
            return
        for lane in await queries.closed_lanes(tx, batch.id, now):
            opens = next_open(now, lane.split(), batch.calling_window)
            # None only where a zone's rules have changed since the upload: then look again tomorrow.
            opens = opens or Interval(now + timedelta(days=1), now + timedelta(days=1))
            await queries.set_lane(tx, batch.id, lane, opens)
            opens_at = rfc3339(opens.start)
            await queries.note(tx, batch.id, None, "wait", rules.OUTSIDE_WINDOW, lane=lane, opens_at=opens_at)

    async def _pause(self, tx: Tx, batch: Batch) -> None:
        log.info("budget spent", batch_id=batch.id, tenant=batch.tenant)
        paused = await repository.set_status(tx, batch.id, BatchStatus.PAUSED, "budget_spent")
        await queries.note(tx, batch.id, None, "pause", "budget_spent", spent=str(batch.spent))
        await events.publish(tx, paused, events.PROGRESS)

    async def _choose(self, tx: Tx, batch: Batch, due: Sequence[Due], wanted: int) -> tuple[list[Due], int]:
        """Up to `wanted` to dial, and how many will never be; others wait."""
        chosen: list[Due] = []
        dropped = 0
        for one in due:
            if len(chosen) == wanted:
                break
            verdict = rules.may_dial(
                is_on_do_not_call=one.is_on_do_not_call,
                recent_attempts=one.recent_attempts,
                attempts_per_day=batch.attempts_per_day,
            )
            DECISIONS.labels(verdict.choice.value, verdict.reason).inc()
            line = one.contact.line
            if verdict.choice is Choice.DIAL:
                chosen.append(one)
            elif verdict.due_at is not None:
                await queries.defer(tx, batch.id, line, verdict.due_at, verdict.reason)
                await queries.note(tx, batch.id, line, "wait", verdict.reason, due_at=rfc3339(verdict.due_at))
            else:
                dropped += 1
                await queries.drop(tx, batch.id, line, verdict.reason)
                await queries.note(tx, batch.id, line, "drop", verdict.reason)
        return chosen, dropped

    async def _begin(self, tx: Tx, batch: Batch, due: Due, moment: datetime, now: datetime) -> Claimed:
        contact = due.contact
        new = {
            "id": new_id(),
            "tenant": batch.tenant,
            "project_id": batch.project_id,
            "agent_id": batch.agent_id,
            "agent_version": batch.agent_version,
            "agent": fill_agent(batch.agent, contact.variables),
            "from_number": batch.from_number,
            "to_number": contact.number,
            "dynamic_variables": contact.variables,
            "batch_id": batch.id,
            "batch_line": contact.line,
        }
        call = await calls.insert(tx, new, self.owner, self.lease)
        await call_events.publish(tx, call, self.public_url)
        await queries.note(
            tx,
            batch.id,
            contact.line,
            "dial",
            "due",
            call_id=call.id,
            attempt=contact.attempts + 1,
            attempts_within_a_day=len(due.recent_attempts),
            start_at=rfc3339(moment),
            local_times={zone: f"{moment.astimezone(ZoneInfo(zone)):%a %H:%M}" for zone in contact.lane.split()},
        )
        return Claimed(call, (moment - now).total_seconds())

    async def _account(self, tx: Tx, batch: Batch, moments: Sequence[datetime], dropped: int) -> None:
        next_dial_at = rules.next_dial_at(batch, moments)
        served = await queries.served(tx, batch.id, begun=len(moments), dropped=dropped, next_dial_at=next_dial_at)
        if batch.started_at is None and served.started_at is not None:
            await events.publish(tx, served, events.STARTED)
        else:
            await events.report(tx, served)
