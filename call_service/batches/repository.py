"""Queries about batches, their contacts and the do-not-call list as customers see them; all filter by tenant.

Locks are taken in this order everywhere, so that no two transactions wait for each other: call, batch, contact, the
room of the tenant (`call_service.capacity`), number.
"""

from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from call_service.batches.domain import Batch, BatchStatus, Contact, Decision, Retry, Window
from call_service.batches.windows import Interval
from shared.db import Database, Record, Tx
from shared.ids import is_id
from shared.stored import as_stored

COPY_TIMEOUT_SECONDS = 600

_IDS = ("id", "tenant", "project_id", "agent_id")
_FIELDS = tuple(field.name for field in fields(Batch))
_CONTACT_FIELDS = tuple(field.name for field in fields(Contact))


def batch_of(row: Record) -> Batch:
    """A row of `batches`."""
    values = {name: row[name] for name in _FIELDS}
    window = row["calling_window"]
    typed = {
        "status": BatchStatus(row["status"]),
        "calling_window": as_stored(Window, window) if window else None,
        "retry": as_stored(Retry, row["retry"]),
    }
    return Batch(**{**values, **{name: str(row[name]) for name in _IDS}, **typed})


def contact_of(row: Record) -> Contact:
    """A row of `batch_contacts`."""
    values = {name: row[name] for name in _CONTACT_FIELDS}
    return Contact(**{**values, "call_id": str(row["call_id"]) if row["call_id"] else None})


async def copy_contacts(tx: Tx, chunks: AsyncIterable[bytes]) -> None:
    """Store contacts as they arrive, in the columns and the format of `upload.copy_lines`."""
    await tx.copy_to_table(
        "batch_contacts",
        source=chunks,
        columns=("batch_id", "line", "tenant", "number", "lane", "variables", "state", "reason", "due_at"),
        format="csv",
        force_not_null=("number", "lane"),
        timeout=COPY_TIMEOUT_SECONDS,
    )


async def reject_repeated(tx: Tx, batch_id: str, sample: int) -> tuple[int, list[tuple[int, str, str]]]:
    """Reject contacts whose number an earlier line has; how many, and `sample` of them as (line, number, reason)."""
    # The planner has no statistics about rows of this transaction, takes them for one, and may loop over all pairs:
    # measured 188 s for 30 000 rows, and 0.8 s for a million this way.
    await tx.execute("SET LOCAL enable_nestloop = off")
    rows = await tx.fetch(
        """WITH known AS (
                SELECT line, min(line) OVER (PARTITION BY number) AS first
                FROM batch_contacts WHERE batch_id = $1 AND state = 'pending'),
            rejected AS (
                UPDATE batch_contacts c
                SET state = 'rejected', reason = 'Row ' || known.first || ' has the same number.'
                FROM known WHERE c.batch_id = $1 AND c.line = known.line AND known.first < known.line
                RETURNING c.line, c.number, c.reason)
            SELECT line, number, reason, count(*) OVER () AS total FROM rejected ORDER BY line LIMIT $2""",
        batch_id,
        sample,
        timeout=COPY_TIMEOUT_SECONDS,
    )
    await tx.execute("SET LOCAL enable_nestloop = on")
    return (rows[0]["total"] if rows else 0), [(row["line"], row["number"], row["reason"]) for row in rows]


async def renew_statistics(tx: Tx) -> None:
    """So that the first claims of a large batch are planned for its size."""
    await tx.execute("ANALYZE batch_contacts", timeout=COPY_TIMEOUT_SECONDS)


async def insert(tx: Tx, batch: Mapping[str, Any], lanes: Mapping[str, Interval]) -> Batch:
    """A new batch and its lanes; the keys of `batch` are the columns."""
    row = await tx.fetchrow(
        """INSERT INTO batches (id, tenant, project_id, agent_id, agent_version, agent, from_number, file_name, status,
                total, accepted, schedule_at, calling_window, retry, max_concurrency, calls_per_second,
                attempts_per_day, budget, pre_dial_url, pre_dial_secret)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
            RETURNING *""",
        *(
            batch[name]
            for name in (
                "id",
                "tenant",
                "project_id",
                "agent_id",
                "agent_version",
                "agent",
                "from_number",
                "file_name",
                "status",
                "total",
                "accepted",
                "schedule_at",
                "calling_window",
                "retry",
                "max_concurrency",
                "calls_per_second",
                "attempts_per_day",
                "budget",
                "pre_dial_url",
                "pre_dial_secret",
            )
        ),
    )
    assert row is not None
    await tx.executemany(
        "INSERT INTO batch_lanes (batch_id, lane, opens_at, closes_at) VALUES ($1, $2, $3, $4)",
        [(batch["id"], lane, opens.start, opens.end) for lane, opens in lanes.items()],
    )
    return batch_of(row)


async def find(db: Database, tenant: str, batch_id: str) -> Batch | None:
    """A batch of this tenant."""
    if not is_id(batch_id):
        return None
    row = await db.fetchrow("SELECT * FROM batches WHERE id = $1 AND tenant = $2", batch_id, tenant)
    return batch_of(row) if row else None


async def page(db: Database, tenant: str, before_id: str | None, limit: int) -> list[Batch]:
    """Newest first; `before_id` is the last id of the page before."""
    rows = await db.fetch(
        "SELECT * FROM batches WHERE tenant = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        tenant,
        before_id,
        limit,
    )
    return [batch_of(row) for row in rows]


async def counts(db: Database, tenant: str, batch_id: str) -> dict[str, int]:
    """How many contacts are in each state."""
    rows = await db.fetch(
        "SELECT state, count(*) FROM batch_contacts WHERE batch_id = $1 AND tenant = $2 GROUP BY state",
        batch_id,
        tenant,
    )
    return {row["state"]: row["count"] for row in rows}


async def contacts(db: Database, tenant: str, batch_id: str, after_line: int, limit: int) -> list[Contact]:
    """In the order of the file; `after_line` is the last line of the page before."""
    rows = await db.fetch(
        """SELECT * FROM batch_contacts WHERE batch_id = $1 AND tenant = $2 AND line > $3 ORDER BY line LIMIT $4""",
        batch_id,
        tenant,
        after_line,
        limit,
    )
    return [contact_of(row) for row in rows]


async def decisions(db: Database, batch_id: str, lines: Sequence[int]) -> dict[int, list[Decision]]:
    """The evidence about these lines, oldest first; the caller has checked whose batch it is."""
    found: dict[int, list[Decision]] = {line: [] for line in lines}
    rows = await db.fetch(
        """SELECT line, at, decision, reason, detail FROM batch_decisions
            WHERE batch_id = $1 AND line = ANY($2::integer[]) ORDER BY id""",
        batch_id,
        list(lines),
    )
    for row in rows:
        found[row["line"]].append(Decision(**row))
    return found


async def latest_decisions(db: Database, batch_id: str, limit: int) -> list[Decision]:
    """The evidence about the batch as a whole, newest first; the caller has checked whose batch it is."""
    rows = await db.fetch(
        """SELECT line, at, decision, reason, detail FROM batch_decisions
            WHERE batch_id = $1 AND line IS NULL ORDER BY id DESC LIMIT $2""",
        batch_id,
        limit,
    )
    return [Decision(**row) for row in rows]


async def lock(tx: Tx, tenant: str, batch_id: str) -> Batch | None:
    """A batch of this tenant; until the commit nobody starts a call of it."""
    if not is_id(batch_id):
        return None
    row = await tx.fetchrow("SELECT * FROM batches WHERE id = $1 AND tenant = $2 FOR UPDATE", batch_id, tenant)
    return batch_of(row) if row else None


async def set_status(tx: Tx, batch_id: str, status: BatchStatus, reason: str | None) -> Batch:
    """Change the status of a locked batch."""
    row = await tx.fetchrow(
        "UPDATE batches SET status = $2, status_reason = $3 WHERE id = $1 RETURNING *", batch_id, status.value, reason
    )
    assert row is not None
    return batch_of(row)


async def cancel_of_project(tx: Tx, project_id: str) -> list[Batch]:
    """Cancel all batches of a project that are not finished."""
    rows = await tx.fetch(
        """UPDATE batches SET status = 'canceled', status_reason = 'project_deleted'
            WHERE project_id = $1 AND status NOT IN ('completed', 'canceled') RETURNING *""",
        project_id,
    )
    return [batch_of(row) for row in rows]


async def left_by_deleted_projects(db: Database, limit: int) -> list[str]:
    """Deleted projects that have batches that are not finished."""
    rows = await db.fetch(
        """SELECT DISTINCT project_id FROM batches JOIN deleted_projects USING (project_id)
            WHERE status NOT IN ('completed', 'canceled') LIMIT $1""",
        limit,
    )
    return [str(row["project_id"]) for row in rows]


async def resume(tx: Tx, batch_id: str, budget: Decimal | None) -> Batch:
    """Let a locked batch go on, with a fresh circuit breaker, and with another budget where one is given."""
    row = await tx.fetchrow(
        """UPDATE batches SET status = CASE WHEN schedule_at > now() THEN 'scheduled' ELSE 'running' END,
                status_reason = NULL, budget = coalesce($2, budget), blocked_until = 'epoch', recent = '', trips = 0
            WHERE id = $1 RETURNING *""",
        batch_id,
        budget,
    )
    assert row is not None
    return batch_of(row)


# ---- do not call -----------------------------------------------------------------------------------------------------


async def lock_number(tx: Tx, tenant: str, number: str) -> None:
    """Until the commit, nobody else starts a call to this number or changes whether it may be called."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{tenant} {number}")


async def add_do_not_call(tx: Tx, tenant: str, number: str) -> datetime:
    """Since when the number is on the list."""
    await lock_number(tx, tenant, number)
    added: datetime = await tx.fetchval(
        """INSERT INTO do_not_call (tenant, number) VALUES ($1, $2)
            ON CONFLICT (tenant, number) DO UPDATE SET number = excluded.number RETURNING created_at""",
        tenant,
        number,
    )
    return added


async def do_not_call_since(connection: Tx | Database, tenant: str, number: str) -> datetime | None:
    """Since when the number is on the tenant's list; None: it may be called."""
    since: datetime | None = await connection.fetchval(
        "SELECT created_at FROM do_not_call WHERE tenant = $1 AND number = $2", tenant, number
    )
    return since


async def do_not_call_after(db: Database, tenant: str, after: str, limit: int) -> list[tuple[str, datetime]]:
    """The tenant's list in the order of the numbers; `after` is the last one of the page before."""
    rows = await db.fetch(
        "SELECT number, created_at FROM do_not_call WHERE tenant = $1 AND number > $2 ORDER BY number LIMIT $3",
        tenant,
        after,
        limit,
    )
    return [(row["number"], row["created_at"]) for row in rows]


async def remove_do_not_call(db: Database, tenant: str, number: str) -> bool:
    """False: it was not on the list."""
    return await db.execute("DELETE FROM do_not_call WHERE tenant = $1 AND number = $2", tenant, number) == "DELETE 1"
