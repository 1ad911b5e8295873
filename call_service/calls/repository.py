"""Every query about calls. Customer queries filter by tenant; worker queries carry the fence of their lease."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from call_service.calls import commands
from call_service.calls.costs import CostLine, stored, total
from call_service.calls.domain import Call, CallTurn, Outcome, Status, allowed_before
from call_service.calls.gauges import ENDED
from call_service.voice.ports import AnsweredBy
from shared.db import Database, Record, Tx
from shared.ids import is_id

_IDS = ("id", "tenant", "project_id", "agent_id", "batch_id", "trunk_id")
_FIELDS = tuple(field.name for field in fields(Call))


def call_of(row: Record) -> Call:
    """A row of `calls`."""
    values = {name: row[name] for name in _FIELDS}
    ids = {name: str(row[name]) for name in _IDS if row[name] is not None}
    return Call(**{**values, **ids, "status": Status(row["status"])})


async def insert(tx: Tx, call: Mapping[str, Any], owner: str | None = None, lease: timedelta | None = None) -> Call:
    """A new queued call, by the trunk of the number it calls from.

    With `owner` it is claimed from the start, and nobody else sees it in the queue. The trunk cannot be deleted before
    this transaction has ended.
    """
    row = await tx.fetchrow(
        """INSERT INTO calls (id, tenant, project_id, agent_id, agent_version, agent, direction, from_number,
                to_number, status, dynamic_variables, batch_id, batch_line, owner, fence, lease_until, trunk_id)
            VALUES ($1, $2, $3, $4, $5, $6, 'outbound', $7, $8, 'queued', $9, $10, $11, $12,
                ($12::text IS NOT NULL)::integer, now() + $13::interval,
                (SELECT trunk_id FROM trunk_numbers WHERE tenant = $2 AND number = $7 FOR KEY SHARE)) RETURNING *""",
        call["id"],
        call["tenant"],
        call["project_id"],
        call["agent_id"],
        call["agent_version"],
        call["agent"],
        call["from_number"],
        call["to_number"],
        call["dynamic_variables"],
        call.get("batch_id"),
        call.get("batch_line"),
        owner,
        lease,
    )
    assert row is not None
    return call_of(row)


async def wake_workers(tx: Tx) -> None:
    """There may be something to dial, once this transaction has committed."""
    await tx.execute("SELECT pg_notify('calls_queued', '')")


async def find(db: Database, tenant: str, call_id: str, project_id: str | None = None) -> Call | None:
    """A call of this tenant, and of this project where one is given."""
    if not is_id(call_id) or (project_id is not None and not is_id(project_id)):
        return None
    row = await db.fetchrow(
        "SELECT * FROM calls WHERE id = $1 AND tenant = $2 AND ($3::uuid IS NULL OR project_id = $3)",
        call_id,
        tenant,
        project_id,
    )
    return call_of(row) if row else None


async def lock(tx: Tx, tenant: str, call_id: str) -> Call | None:
    """A call of this tenant; nobody else changes it while this transaction lasts."""
    if not is_id(call_id):
        return None
    row = await tx.fetchrow("SELECT * FROM calls WHERE id = $1 AND tenant = $2 FOR UPDATE", call_id, tenant)
    return call_of(row) if row else None


async def turns(connection: Tx | Database, call_id: str) -> list[CallTurn]:
    """The transcript in order."""
    rows = await connection.fetch(
        "SELECT role, text, start_ms, end_ms, interrupted FROM call_turns WHERE call_id = $1 ORDER BY position", call_id
    )
    return [CallTurn(**row) for row in rows]


async def turns_of_many(db: Database, call_ids: Sequence[str]) -> dict[str, list[CallTurn]]:
    """The transcripts of a page of calls."""
    found: dict[str, list[CallTurn]] = {call_id: [] for call_id in call_ids}
    for row in await db.fetch(
        """SELECT call_id, role, text, start_ms, end_ms, interrupted FROM call_turns
           WHERE call_id = ANY($1::uuid[]) ORDER BY call_id, position""",
        list(call_ids),
    ):
        found[str(row["call_id"])].append(CallTurn(*tuple(row)[1:]))
    return found


async def history(
    db: Database,
    tenant: str,
    project_id: str,
    *,
    to: str | None,
    from_: str | None,
    statuses: Sequence[str],
    direction: str | None,
    created: tuple[datetime | None, datetime | None],
    ended: tuple[datetime | None, datetime | None],
    before_id: str | None,
    limit: int,
) -> list[Call]:
    """Newest first. `created` and `ended` are half-open intervals; `before_id` is the last id of the page before."""
    rows = await db.fetch(
        """SELECT * FROM calls
            WHERE tenant = $1 AND project_id = $2
              AND ($3::text IS NULL OR to_number = $3) AND ($4::text IS NULL OR from_number = $4)
              AND (cardinality($5::text[]) = 0 OR status = ANY($5))
              AND ($6::timestamptz IS NULL OR created_at >= $6) AND ($7::timestamptz IS NULL OR created_at < $7)
              AND ($8::timestamptz IS NULL OR ended_at >= $8) AND ($9::timestamptz IS NULL OR ended_at < $9)
              AND ($10::uuid IS NULL OR id < $10) AND ($11::text IS NULL OR direction = $11)
            ORDER BY id DESC LIMIT $12""",
        tenant,
        project_id,
        to,
        from_,
        list(statuses),
        *created,
        *ended,
        before_id,
        direction,
        limit,
    )
    return [call_of(row) for row in rows]


async def listed(
    db: Database,
    tenant: str,
    *,
    project_id: str | None,
    statuses: Sequence[str],
    direction: str | None,
    before_id: str | None,
    limit: int,
) -> list[Call]:
    """A tenant's calls, newest first; `before_id` is the last id of the page before."""
    rows = await db.fetch(
        """SELECT * FROM calls
            WHERE tenant = $1 AND ($2::uuid IS NULL OR project_id = $2)
              AND (cardinality($3::text[]) = 0 OR status = ANY($3)) AND ($4::uuid IS NULL OR id < $4)
              AND ($5::text IS NULL OR direction = $5)
            ORDER BY id DESC LIMIT $6""",
        tenant,
        project_id,
        list(statuses),
        before_id,
        direction,
        limit,
    )
    return [call_of(row) for row in rows]


async def lock_queued(tx: Tx, call_id: str, fence: int) -> Call | None:
    """A call that is about to be dialled, locked. None: the fence was lost."""
    row = await tx.fetchrow(
        "SELECT * FROM calls WHERE id = $1 AND fence = $2 AND status = 'queued' FOR UPDATE", call_id, fence
    )
    return call_of(row) if row else None


async def personalise(
    tx: Tx, call_id: str, fence: int, agent: Mapping[str, Any], variables: Mapping[str, str]
) -> Call | None:
    """Change what a call that is not dialled yet is made of. None: the fence was lost, or it has begun or ended."""
    row = await tx.fetchrow(
        """UPDATE calls SET agent = $3, dynamic_variables = $4 WHERE id = $1 AND fence = $2 AND status = 'queued'
            RETURNING *""",
        call_id,
        fence,
        dict(agent),
        dict(variables),
    )
    return call_of(row) if row else None


async def renew(db: Database, owner: str, lease: timedelta, held: Mapping[str, int]) -> set[str]:
    """Renew the leases of `held` (call id → fence). Returns the ids that are still this owner's.

    A row that somebody has locked is not waited for, which would cost the others their leases; it is kept meanwhile.
    """
    rows = await db.fetch(
        """WITH held AS (SELECT * FROM unnest($3::uuid[], $4::bigint[]) AS held (id, fence)),
               free AS (SELECT calls.id FROM calls JOIN held USING (id, fence) WHERE owner = $1
                        FOR NO KEY UPDATE OF calls SKIP LOCKED),
               renewed AS (UPDATE calls SET lease_until = now() + $2 FROM free WHERE calls.id = free.id)
           SELECT id FROM calls JOIN held USING (id, fence) WHERE owner = $1""",
        owner,
        lease,
        list(held),
        list(held.values()),
    )
    return {str(row["id"]) for row in rows}


async def advance(
    tx: Tx, call_id: str, fence: int, status: Status, *, carrier: str | None = None, lease: timedelta | None = None
) -> Call | None:
    """Move a live call on, and renew its lease by `lease`. None: the fence was lost, or the call is past this state."""
    row = await tx.fetchrow(
        """UPDATE calls SET status = $3,
                carrier = coalesce($5, carrier),
                lease_until = coalesce(now() + $6::interval, lease_until),
                initiated_at = CASE WHEN $3 = 'initiated' THEN now() ELSE initiated_at END,
                answered_at = CASE WHEN $3 = 'in-progress' THEN now() ELSE answered_at END
            WHERE id = $1 AND fence = $2 AND status = ANY($4) RETURNING *""",
        call_id,
        fence,
        status.value,
        [state.value for state in allowed_before(status)],
        carrier,
        lease,
    )
    return call_of(row) if row else None


async def end(tx: Tx, call_id: str, fence: int, outcome: Outcome, data: Mapping[str, Any]) -> Call | None:
    """The one terminal write. None: the fence was lost, or the call has ended already."""
    row = await tx.fetchrow(
        """UPDATE calls SET status = $3, reason = $4, fault = $5, sip_code = $6, data = data || $7, ended_at = now()
            WHERE id = $1 AND fence = $2 AND status = ANY($8) RETURNING *""",
        call_id,
        fence,
        outcome.status.value,
        outcome.reason,
        outcome.fault,
        outcome.sip_code,
        dict(data),
        [state.value for state in allowed_before(outcome.status)],
    )
    if row is None:
        return None
    await commands.close(tx, call_id)
    call = call_of(row)
    # Every end of a call passes here. It is not committed yet: one that is tried again counts twice.
    ENDED.labels(call.status.value, outcome.reason, call.fault, call.direction).inc()
    return call


async def lock_held(tx: Tx, call_id: str, fence: int) -> Call | None:
    """A call by its fence, locked. None: the fence was lost."""
    row = await tx.fetchrow("SELECT * FROM calls WHERE id = $1 AND fence = $2 FOR UPDATE", call_id, fence)
    return call_of(row) if row else None


async def set_second_leg(tx: Tx, call_id: str, fence: int, *, is_held: bool) -> Call | None:
    """Whether the call has a second leg, which takes a place of its trunk too. None: the fence was lost."""
    row = await tx.fetchrow(
        "UPDATE calls SET has_second_leg = $3 WHERE id = $1 AND fence = $2 RETURNING *", call_id, fence, is_held
    )
    return call_of(row) if row else None


async def answered_by(tx: Tx, call_id: str, fence: int, who: AnsweredBy) -> Call | None:
    """Write who or what answered. None: the fence was lost."""
    row = await tx.fetchrow(
        "UPDATE calls SET answered_by = $3 WHERE id = $1 AND fence = $2 RETURNING *", call_id, fence, who
    )
    return call_of(row) if row else None


async def charge(tx: Tx, call_id: str, lines: Sequence[CostLine], currency: str) -> Call:
    """Add to what the call cost."""
    row = await tx.fetchrow(
        "UPDATE calls SET cost = cost + $2, costs = costs || $3, currency = $4 WHERE id = $1 RETURNING *",
        call_id,
        total(lines),
        stored(lines),
        currency,
    )
    assert row is not None
    return call_of(row)


async def add_turn(tx: Tx, call_id: str, *, position: int, turn: CallTurn, timings: Mapping[str, Any]) -> bool:
    """Append a turn to a call that is locked by its fence. False: it is there already."""
    row = await tx.fetchrow(
        """INSERT INTO call_turns (call_id, position, role, text, start_ms, end_ms, interrupted, timings)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING position""",
        call_id,
        position,
        turn.role,
        turn.text,
        turn.start_ms,
        turn.end_ms,
        turn.interrupted,
        dict(timings),
    )
    return row is not None


async def complete(
    tx: Tx, call_id: str, fence: int, *, recording: str | None, analysis: Mapping[str, Any] | None
) -> Call | None:
    """Everything about an ended call is in; it belongs to nobody from now on."""
    row = await tx.fetchrow(
        """UPDATE calls SET recording = $3, analysis = $4, completed_at = now(), owner = NULL, lease_until = NULL
            WHERE id = $1 AND fence = $2 AND ended_at IS NOT NULL AND completed_at IS NULL RETURNING *""",
        call_id,
        fence,
        recording,
        analysis,
    )
    return call_of(row) if row else None


async def lock_expired(tx: Tx, limit: int) -> list[Call]:
    """Calls whose owner stopped renewing, locked for this transaction."""
    rows = await tx.fetch(
        """SELECT * FROM calls WHERE owner IS NOT NULL AND completed_at IS NULL AND lease_until < now()
            ORDER BY lease_until LIMIT $1 FOR UPDATE SKIP LOCKED""",
        limit,
    )
    return [call_of(row) for row in rows]


async def lock_all_queued(tx: Tx) -> list[Call]:
    """Every call that was not dialled yet, claimed or not."""
    return [call_of(row) for row in await tx.fetch("SELECT * FROM calls WHERE status = 'queued' FOR UPDATE")]


async def lock_of_deleted_projects(tx: Tx, limit: int) -> list[Call]:
    """Queued calls that will not be dialled any more, locked for this transaction."""
    rows = await tx.fetch(
        """SELECT calls.* FROM calls JOIN deleted_projects USING (project_id) WHERE status = 'queued'
            LIMIT $1 FOR UPDATE OF calls SKIP LOCKED""",
        limit,
    )
    return [call_of(row) for row in rows]


async def forget_project(tx: Tx, project_id: str) -> None:
    """Claim no more calls of this project."""
    await tx.execute("INSERT INTO deleted_projects (project_id) VALUES ($1) ON CONFLICT DO NOTHING", project_id)


async def take_over(tx: Tx, call_id: str, owner: str, lease: timedelta) -> int:
    """Fence the former owner off; returns the new fence."""
    return int(
        await tx.fetchval(
            "UPDATE calls SET owner = $2, fence = fence + 1, lease_until = now() + $3 WHERE id = $1 RETURNING fence",
            call_id,
            owner,
            lease,
        )
    )


async def postpone(tx: Tx, call_id: str, delay: timedelta) -> None:
    """Let nobody take over this call for a while."""
    await tx.execute("UPDATE calls SET lease_until = now() + $2 WHERE id = $1", call_id, delay)


async def requeue(tx: Tx, call_id: str) -> None:
    """A call that was claimed and never dialled waits for another worker."""
    await tx.execute(
        "UPDATE calls SET owner = NULL, lease_until = NULL, fence = fence + 1 WHERE id = $1 AND status = 'queued'",
        call_id,
    )
    await wake_workers(tx)
