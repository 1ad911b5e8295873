"""What workers read and write about batches, inside the transactions of `dialing`, `gate` and `settlement`."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from call_service.batches.domain import Batch, Contact
from call_service.batches.repository import batch_of, contact_of
from call_service.batches.rules import ATTEMPTS_SPAN, Breaker, Next
from call_service.batches.windows import Interval
from call_service.calls.domain import Call
from call_service.capacity.domain import LOOK_AHEAD
from shared.db import Database, Tx

_DUE = """
WITH open AS MATERIALIZED (
    SELECT b.id, b.tenant, b.served_at, n.trunk_id, t.max_concurrent FROM batches b
    LEFT JOIN trunk_numbers n ON n.tenant = b.tenant AND n.number = b.from_number
    LEFT JOIN trunks t ON t.id = n.trunk_id
    WHERE b.status IN ('scheduled', 'running') AND b.schedule_at <= now() AND b.blocked_until <= now()
        AND b.project_id NOT IN (SELECT project_id FROM deleted_projects)
        AND b.next_dial_at < now() + $3::interval AND (b.max_concurrency IS NULL OR b.active < b.max_concurrency)
        AND NOT EXISTS (
            SELECT FROM dial_paces p WHERE p.id IN (b.tenant, n.trunk_id) AND p.next_at >= now() + $3::interval)
        AND EXISTS (
            SELECT 1 FROM batch_lanes l WHERE l.batch_id = b.id AND l.opens_at <= now() AND EXISTS (
                SELECT 1 FROM batch_contacts c
                WHERE c.batch_id = b.id AND c.lane = l.lane AND c.state = 'pending' AND c.due_at <= now()))
), live AS MATERIALIZED (
    SELECT tenant, trunk_id, count(*) AS calls, count(*) FILTER (WHERE has_second_leg) AS second_legs FROM calls
    WHERE tenant IN (SELECT tenant FROM open) AND owner IS NOT NULL AND ended_at IS NULL GROUP BY tenant, trunk_id
), known AS (
    SELECT open.*,
        (SELECT coalesce(sum(calls), 0) FROM live WHERE tenant = open.tenant) AS of_tenant,
        (SELECT coalesce(sum(calls + second_legs), 0) FROM live
            WHERE tenant = open.tenant AND trunk_id = open.trunk_id) AS of_trunk
    FROM open
)
SELECT id, tenant FROM known WHERE of_tenant < $2 AND (max_concurrent IS NULL OR of_trunk < max_concurrent)
ORDER BY of_tenant, served_at LIMIT $1
"""


async def due_batches(db: Database, max_calls: int, limit: int) -> list[tuple[str, str]]:
    """Batches that may have something to dial, with their tenants; the tenant with the fewest live calls first.

    Those whose tenant has `max_calls` live, or whose trunk is full, are left out: they hold nobody up.
    """
    rows = await db.fetch(_DUE, limit, max_calls, LOOK_AHEAD)
    return [(str(row["id"]), str(row["tenant"])) for row in rows]


async def lock_open(tx: Tx, batch_id: str) -> tuple[Batch, str | None, datetime] | None:
    """A batch that may dial, locked, its trunk, and the time after the lock was granted; None: it may not any more."""
    row = await tx.fetchrow(
        """SELECT b.*, n.trunk_id FROM batches b
            LEFT JOIN trunk_numbers n ON n.tenant = b.tenant AND n.number = b.from_number
            WHERE b.id = $1 AND b.status IN ('scheduled', 'running') AND b.schedule_at <= now()
                AND b.blocked_until <= now() FOR UPDATE OF b""",
        batch_id,
    )
    if row is None:
        return None
    batch = batch_of(row)
    if batch.attempts_per_day is not None:  # attempts are counted over all batches of the tenant
        await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"attempts of {batch.tenant}")
    trunk_id = str(row["trunk_id"]) if row["trunk_id"] else None
    return batch, trunk_id, await tx.fetchval("SELECT clock_timestamp()")


async def closed_lanes(tx: Tx, batch_id: str, now: datetime) -> list[str]:
    """Lanes whose hours are over."""
    rows = await tx.fetch("SELECT lane FROM batch_lanes WHERE batch_id = $1 AND closes_at <= $2", batch_id, now)
    return [row["lane"] for row in rows]


async def set_lane(tx: Tx, batch_id: str, lane: str, opens: Interval) -> None:
    """When a lane opens next."""
    await tx.execute(
        "UPDATE batch_lanes SET opens_at = $3, closes_at = $4 WHERE batch_id = $1 AND lane = $2", batch_id, lane, *opens
    )


class Due(NamedTuple):
    """A contact that is due in an open lane, and what decides whether it may be dialled."""

    contact: Contact
    is_on_do_not_call: bool
    recent_attempts: list[datetime]


async def due_contacts(tx: Tx, batch: Batch, now: datetime, limit: int) -> list[Due]:
    """The longest due first. The lock on the batch guards its contacts too."""
    rows = await tx.fetch(
        """SELECT c.*,
                EXISTS (SELECT 1 FROM do_not_call n WHERE n.tenant = $4 AND n.number = c.number) AS is_on_do_not_call,
                ARRAY (SELECT created_at FROM calls a
                        WHERE a.tenant = $4 AND a.to_number = c.number AND a.created_at > $2 - $5::interval
                          AND a.direction = 'outbound' AND (a.status <> 'canceled' OR a.initiated_at IS NOT NULL)
                        ORDER BY created_at) AS recent_attempts
            FROM batch_lanes l CROSS JOIN LATERAL (
                SELECT * FROM batch_contacts d
                WHERE d.batch_id = $1 AND d.lane = l.lane AND d.state = 'pending' AND d.due_at <= $2
                ORDER BY d.due_at, d.line LIMIT $3) c
            WHERE l.batch_id = $1 AND l.opens_at <= $2 AND l.closes_at > $2
            ORDER BY c.due_at, c.line LIMIT $3""",
        batch.id,
        now,
        limit,
        batch.tenant,
        ATTEMPTS_SPAN,
    )
    return [Due(contact_of(row), row["is_on_do_not_call"], row["recent_attempts"]) for row in rows]


async def dialling(tx: Tx, batch_id: str, calls: Sequence[Call]) -> None:
    """The contacts of these calls are being called."""
    await tx.execute(
        """UPDATE batch_contacts c SET state = 'dialing', call_id = d.call_id, attempts = attempts + 1, reason = NULL
            FROM unnest($2::integer[], $3::uuid[]) AS d (line, call_id)
            WHERE c.batch_id = $1 AND c.line = d.line AND c.state = 'pending'""",
        batch_id,
        [call.batch_line for call in calls],
        [call.id for call in calls],
    )


async def defer(tx: Tx, batch_id: str, line: int, due_at: datetime, reason: str) -> None:
    """A contact waits until `due_at`."""
    await tx.execute(
        "UPDATE batch_contacts SET due_at = $3, reason = $4 WHERE batch_id = $1 AND line = $2 AND state = 'pending'",
        batch_id,
        line,
        due_at,
        reason,
    )


async def drop(tx: Tx, batch_id: str, line: int, reason: str) -> None:
    """A contact will not be called."""
    await tx.execute(
        """UPDATE batch_contacts SET state = 'canceled', reason = $3, ended_at = now()
            WHERE batch_id = $1 AND line = $2 AND state = 'pending'""",
        batch_id,
        line,
        reason,
    )


async def served(tx: Tx, batch_id: str, *, begun: int, dropped: int, next_dial_at: datetime) -> Batch:
    """Account for what a claim did; the batch has started with its first call."""
    row = await tx.fetchrow(
        """UPDATE batches SET active = active + $2, finished = finished + $3, next_dial_at = $4, served_at = now(),
                status = 'running', started_at = coalesce(started_at, CASE WHEN $2 > 0 THEN now() END)
            WHERE id = $1 RETURNING *""",
        batch_id,
        begun,
        dropped,
        next_dial_at,
    )
    assert row is not None
    return batch_of(row)


async def note(tx: Tx, batch_id: str, line: int | None, decision: str, reason: str, **detail: Any) -> None:
    """Keep evidence of a decision."""
    await tx.execute(
        "INSERT INTO batch_decisions (batch_id, line, decision, reason, detail) VALUES ($1, $2, $3, $4, $5)",
        batch_id,
        line,
        decision,
        reason,
        detail,
    )


class Hook(NamedTuple):
    """Who is asked before a contact is called, and what the call is made of; `secret` is sealed."""

    url: str
    secret: str
    agent: dict[str, Any]
    attempt: int


async def hook_of(db: Database, batch_id: str, line: int) -> Hook | None:
    """None: nobody has to be asked."""
    row = await db.fetchrow(
        """SELECT b.pre_dial_url, b.pre_dial_secret, b.agent, c.attempts FROM batches b
            JOIN batch_contacts c ON c.batch_id = b.id AND c.line = $2
            WHERE b.id = $1 AND b.pre_dial_url IS NOT NULL""",
        batch_id,
        line,
    )
    return Hook(*row) if row else None


class Gate(NamedTuple):
    """What decides about a batch call at its start."""

    status: str
    is_open: bool


async def gate(tx: Tx, batch_id: str, line: int) -> Gate:
    """Shares the lock on the batch: who pauses it waits for this transaction, and later ones see the pause."""
    row = await tx.fetchrow(
        """SELECT b.status, l.opens_at <= clock_timestamp() AND l.closes_at > clock_timestamp() AS is_open
            FROM batches b
            JOIN batch_contacts c ON c.batch_id = b.id AND c.line = $2
            JOIN batch_lanes l ON l.batch_id = b.id AND l.lane = c.lane
            WHERE b.id = $1 FOR SHARE OF b""",
        batch_id,
        line,
    )
    assert row is not None
    return Gate(**row)


async def lock_called(tx: Tx, batch_id: str, line: int, call_id: str) -> tuple[Batch, Contact, datetime] | None:
    """A batch and the contact that this call is for, locked, and the time. None: the contact has moved on."""
    batch = await tx.fetchrow("SELECT * FROM batches WHERE id = $1 FOR UPDATE", batch_id)
    contact = await tx.fetchrow(
        """SELECT *, clock_timestamp() AS now FROM batch_contacts
            WHERE batch_id = $1 AND line = $2 AND call_id = $3 AND state = 'dialing'""",
        batch_id,
        line,
        call_id,
    )
    return (batch_of(batch), contact_of(contact), contact["now"]) if batch and contact else None


async def set_next(tx: Tx, batch_id: str, line: int, step: Next, reason: str | None) -> None:
    """What becomes of a contact after its call."""
    await tx.execute(
        """UPDATE batch_contacts
            SET state = $3, attempts = $4, due_at = $5, reason = $6, pre_dial_failures = $7, ended_at = now()
            WHERE batch_id = $1 AND line = $2""",
        batch_id,
        line,
        step.state,
        step.attempts,
        step.due_at,
        reason,
        step.pre_dial_failures,
    )


async def account(tx: Tx, batch_id: str, cost: Decimal, *, is_final: bool, breaker: Breaker) -> Batch:
    """Account for an ended call."""
    row = await tx.fetchrow(
        """UPDATE batches SET active = active - 1, spent = spent + $2, finished = finished + $3::boolean::integer,
                recent = $4, trips = $5, blocked_until = coalesce(now() + $6::interval, blocked_until)
            WHERE id = $1 RETURNING *""",
        batch_id,
        cost,
        is_final,
        breaker.recent,
        breaker.trips,
        breaker.blocked_for,
    )
    assert row is not None
    return batch_of(row)


async def spend(tx: Tx, batch_id: str, cost: Decimal) -> None:
    """Add to what a batch has spent."""
    await tx.execute("UPDATE batches SET spent = spent + $2 WHERE id = $1", batch_id, cost)


async def complete(tx: Tx, batch: Batch) -> Batch | None:
    """Close a locked batch that has nothing left to do. None: it has, or it was closed before."""
    row = await tx.fetchrow(
        """UPDATE batches SET completed_at = now(),
                status = CASE status WHEN 'canceled' THEN status ELSE 'completed' END
            WHERE id = $1 AND completed_at IS NULL AND active = 0 AND (finished = accepted OR status = 'canceled')
            RETURNING *""",
        batch.id,
    )
    return batch_of(row) if row else None


async def progress_is_due(tx: Tx, batch_id: str, every_seconds: float) -> bool:
    """Is it time to report progress? It is reported then."""
    row = await tx.fetchrow(
        """UPDATE batches SET progress_at = now() WHERE id = $1 AND progress_at < now() - make_interval(secs => $2)
            RETURNING true""",
        batch_id,
        every_seconds,
    )
    return row is not None
