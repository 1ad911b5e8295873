"""What the API asks of a call that a worker holds: rows, in order, each carried out once.

The worker reads the commands of its calls, remembers which it has begun, and writes what came of each. Nobody else
can: a call never goes to another worker, and the fence guards the write.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from shared.db import Database, Record, Tx
from shared.ids import is_id, new_id

Kind = Literal["cancel", "end", "say", "dtmf", "transfer", "hold", "unhold"]
State = Literal["accepted", "done", "failed"]

MAX_OPEN = 20


@dataclass(frozen=True, slots=True)
class Command:
    """One command. `reason` says why it failed."""

    id: str
    call_id: str
    kind: Kind
    arguments: dict[str, Any]
    state: State
    reason: str | None
    created_at: datetime
    finished_at: datetime | None


def _command(row: Record) -> Command:
    values = {field.name: row[field.name] for field in fields(Command)}
    return Command(**{**values, "id": str(row["id"]), "call_id": str(row["call_id"])})


async def ask(tx: Tx, call_id: str, kind: Literal["cancel", "end"]) -> None:
    """Ask for something that need not be asked twice."""
    row = await tx.fetchrow(
        "SELECT FROM call_commands WHERE call_id = $1 AND kind = $2 AND state = 'accepted'", call_id, kind
    )
    if row is None:
        await add(tx, call_id, kind, {})
    else:
        await _wake(tx)


async def add(tx: Tx, call_id: str, kind: Kind, arguments: Mapping[str, Any]) -> Command:
    """Leave a command for the worker that holds the call, and wake it. The caller has locked the call."""
    row = await tx.fetchrow(
        "INSERT INTO call_commands (id, call_id, kind, arguments) VALUES ($1, $2, $3, $4) RETURNING *",
        new_id(),
        call_id,
        kind,
        dict(arguments),
    )
    assert row is not None
    await _wake(tx)
    return _command(row)


async def open_count(tx: Tx, call_id: str) -> int:
    """How many commands wait or are being carried out."""
    return int(
        await tx.fetchval("SELECT count(*) FROM call_commands WHERE call_id = $1 AND state = 'accepted'", call_id)
    )


async def find(db: Database, call_id: str, command_id: str) -> Command | None:
    """A command of this call."""
    if not is_id(command_id):
        return None
    row = await db.fetchrow("SELECT * FROM call_commands WHERE call_id = $1 AND id = $2", call_id, command_id)
    return _command(row) if row else None


async def open_of(db: Database, held: Mapping[str, int]) -> list[Command]:
    """The commands of `held` (call id → fence) that have no result yet, in order."""
    rows = await db.fetch(
        """SELECT call_commands.* FROM call_commands
             JOIN unnest($1::uuid[], $2::bigint[]) AS held (call_id, fence) USING (call_id)
             JOIN calls ON calls.id = call_id AND calls.fence = held.fence
            WHERE state = 'accepted' ORDER BY number""",
        list(held),
        list(held.values()),
    )
    return [_command(row) for row in rows]


async def finish(tx: Tx, command: Command, reason: str | None) -> None:
    """Write what came of it; `reason` says why it failed. The caller has locked the call by its fence."""
    await tx.execute(
        """UPDATE call_commands SET state = $2, reason = $3, finished_at = now()
            WHERE id = $1 AND state = 'accepted'""",
        command.id,
        "failed" if reason else "done",
        reason,
    )


async def close(tx: Tx, call_id: str) -> None:
    """The call has ended: what asked for that is done, what else still waits has failed."""
    await tx.execute(
        """UPDATE call_commands SET
                state = CASE WHEN kind IN ('cancel', 'end') THEN 'done' ELSE 'failed' END,
                reason = CASE WHEN kind NOT IN ('cancel', 'end') THEN 'call_ended' END,
                finished_at = now()
            WHERE call_id = $1 AND state = 'accepted'""",
        call_id,
    )


async def _wake(tx: Tx) -> None:
    await tx.execute("SELECT pg_notify('calls_control', '')")
