"""Every query about trunks. Those of users filter by tenant; those of workers see all."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import timedelta
from typing import Any

import asyncpg

from call_service.trunks.domain import Test, Trunk, WorkerState
from call_service.trunks.errors import NumberOfOtherTrunkError, TrunkNameTakenError, TrunkUsernameTakenError
from shared.db import Database, Record, Tx
from shared.errors import FieldError
from shared.ids import is_id

CHANNEL = "calls_trunks"

_WITH_NUMBERS = """
SELECT trunks.*, ARRAY(SELECT number FROM trunk_numbers WHERE trunk_id = trunks.id ORDER BY number) AS numbers
FROM trunks
"""
# Nothing of the user's is in these texts: the columns are ours.
_INSERT = """
INSERT INTO trunks (id, tenant, name, host, port, transport, srtp, username, password, realm, registers, inbound,
    allowed_addresses, calls_per_second, max_concurrent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
"""
_UPDATE = """
UPDATE trunks SET name = $3, host = $4, port = $5, transport = $6, srtp = $7, username = $8,
    password = coalesce($9, password), realm = $10, registers = $11, inbound = $12, allowed_addresses = $13,
    calls_per_second = $14, max_concurrent = $15, updated_at = now()
WHERE id = $1 AND tenant = $2
"""
_COLUMNS = (
    "name",
    "host",
    "port",
    "transport",
    "srtp",
    "username",
    "password",
    "realm",
    "registers",
    "inbound",
    "allowed_addresses",
    "calls_per_second",
    "max_concurrent",
)
_TAKEN: Mapping[str | None, type[TrunkNameTakenError | TrunkUsernameTakenError]] = {
    "trunks_tenant_name_key": TrunkNameTakenError,
    "trunks_digest_users": TrunkUsernameTakenError,
}
_REPORT = """
INSERT INTO trunk_states AS known (trunk_id, worker, is_registered, is_reachable, last_error, calls)
SELECT new.id, $1, is_registered, is_reachable, last_error, calls
FROM unnest($2::uuid[], $3::boolean[], $4::boolean[], $5::text[], $6::integer[])
    AS new (id, is_registered, is_reachable, last_error, calls) JOIN trunks USING (id)
ON CONFLICT (trunk_id, worker) DO UPDATE SET is_registered = excluded.is_registered,
    is_reachable = excluded.is_reachable, last_error = excluded.last_error, calls = excluded.calls, seen_at = now(),
    since = CASE WHEN (known.is_registered, known.is_reachable, known.last_error)
        IS DISTINCT FROM (excluded.is_registered, excluded.is_reachable, excluded.last_error)
        THEN now() ELSE known.since END
"""
_FORGET_GONE_WORKERS = """
DELETE FROM trunk_states WHERE (trunk_id, worker) IN (
    SELECT trunk_id, worker FROM trunk_states WHERE seen_at < now() - $1::interval FOR UPDATE SKIP LOCKED)
"""
_BECOME_REGISTRAR = """
INSERT INTO trunk_registrars AS held (trunk_id, worker, lease_until)
SELECT id, $1, now() + $2::interval FROM trunks WHERE registers ORDER BY id
ON CONFLICT (trunk_id) DO UPDATE SET worker = $1, lease_until = now() + $2::interval
    WHERE held.worker = $1 OR held.lease_until < now()
RETURNING trunk_id
"""
_TAKE_TESTS = """
UPDATE trunk_tests SET worker = $1 WHERE id IN (
    SELECT id FROM trunk_tests
    WHERE worker IS NULL AND trunk_id = ANY($2::uuid[]) AND created_at > now() - $3::interval
    ORDER BY created_at LIMIT $4 FOR UPDATE SKIP LOCKED)
RETURNING id, trunk_id, number, from_number
"""


def _trunk(row: Record) -> Trunk:
    values = {field.name: row[field.name] for field in fields(Trunk)}
    return Trunk(**{**values, "id": str(row["id"]), "tenant": str(row["tenant"])})


async def changed(tx: Tx) -> None:
    """Workers hear of it once this transaction has committed."""
    await tx.execute("SELECT pg_notify($1, '')", CHANNEL)


async def count(tx: Tx, tenant: str) -> int:
    """How many trunks this tenant has; nobody adds one until this transaction ends."""
    await tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('trunks:' || $1, 0))", tenant)
    return int(await tx.fetchval("SELECT count(*) FROM trunks WHERE tenant = $1", tenant))


async def insert(tx: Tx, tenant: str, trunk_id: str, values: Mapping[str, Any]) -> None:
    """Raises TrunkNameTakenError, TrunkUsernameTakenError."""
    await _write(tx, _INSERT, trunk_id, tenant, values)


async def update(tx: Tx, tenant: str, trunk_id: str, values: Mapping[str, Any]) -> None:
    """`password` None keeps the one there is. Raises TrunkNameTakenError, TrunkUsernameTakenError."""
    await _write(tx, _UPDATE, trunk_id, tenant, values)


async def _write(tx: Tx, statement: str, trunk_id: str, tenant: str, values: Mapping[str, Any]) -> None:
    try:
        async with tx.transaction():
            await tx.execute(statement, trunk_id, tenant, *(values[name] for name in _COLUMNS))
    except asyncpg.UniqueViolationError as error:
        raise _TAKEN[error.constraint_name] from None


async def set_numbers(tx: Tx, tenant: str, trunk_id: str, numbers: Sequence[str]) -> None:
    """The trunk has these numbers and no others. Raises NumberOfOtherTrunkError, naming them."""
    await tx.execute(
        "DELETE FROM trunk_numbers WHERE tenant = $1 AND trunk_id = $2 AND number <> ALL($3)", tenant, trunk_id, numbers
    )
    await tx.execute(
        "INSERT INTO trunk_numbers (tenant, number, trunk_id) SELECT $1, unnest($3::text[]), $2 ON CONFLICT DO NOTHING",
        tenant,
        trunk_id,
        sorted(numbers),
    )
    rows = await tx.fetch(
        "SELECT number FROM trunk_numbers WHERE tenant = $1 AND number = ANY($3) AND trunk_id <> $2 ORDER BY number",
        tenant,
        trunk_id,
        numbers,
    )
    if taken := [row["number"] for row in rows]:
        error = NumberOfOtherTrunkError
        raise error(
            errors=[FieldError("numbers", error.code, f"{number} belongs to another trunk.") for number in taken]
        )


async def find(connection: Tx | Database, tenant: str, trunk_id: str) -> Trunk | None:
    """A trunk of this tenant."""
    if not is_id(trunk_id):
        return None
    row = await connection.fetchrow(_WITH_NUMBERS + "WHERE tenant = $1 AND id = $2", tenant, trunk_id)
    return _trunk(row) if row else None


async def lock(tx: Tx, tenant: str, trunk_id: str) -> Trunk | None:
    """As `find`; nobody else changes or deletes it while this transaction lasts."""
    if is_id(trunk_id):
        await tx.execute("SELECT FROM trunks WHERE tenant = $1 AND id = $2 FOR UPDATE", tenant, trunk_id)
    return await find(tx, tenant, trunk_id)


async def page(db: Database, tenant: str, before_id: str | None, limit: int) -> list[Trunk]:
    """Newest first; `before_id` is the last id of the page before."""
    rows = await db.fetch(
        _WITH_NUMBERS + "WHERE tenant = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
        tenant,
        before_id,
        limit,
    )
    return [_trunk(row) for row in rows]


async def states(db: Database, tenant: str, trunk_ids: Sequence[str], fresh: timedelta) -> dict[str, list[WorkerState]]:
    """What workers that are alive report, by trunk."""
    rows = await db.fetch(
        """SELECT trunk_states.* FROM trunk_states JOIN trunks ON trunks.id = trunk_id
            WHERE tenant = $1 AND trunk_id = ANY($2::uuid[]) AND seen_at > now() - $3::interval ORDER BY worker""",
        tenant,
        trunk_ids,
        fresh,
    )
    found: dict[str, list[WorkerState]] = {trunk_id: [] for trunk_id in trunk_ids}
    for row in rows:
        found[str(row["trunk_id"])].append(WorkerState(**{name.name: row[name.name] for name in fields(WorkerState)}))
    return found


async def delete(tx: Tx, tenant: str, trunk_id: str) -> bool:
    """False: calls wait for it. The trunk is locked; who queues a call from its numbers right now is waited for."""
    await tx.execute("DELETE FROM trunk_numbers WHERE tenant = $1 AND trunk_id = $2", tenant, trunk_id)
    if await tx.fetchval("SELECT EXISTS (SELECT FROM calls WHERE trunk_id = $1 AND status = 'queued')", trunk_id):
        return False
    await tx.execute("DELETE FROM trunks WHERE tenant = $1 AND id = $2", tenant, trunk_id)
    return True


# ---- tests -------------------------------------------------------------------------------------------------------


async def has_open_test(tx: Tx, trunk_id: str, longest: timedelta) -> bool:
    """Whether a test waits or runs; old ones are forgotten."""
    await tx.execute("DELETE FROM trunk_tests WHERE trunk_id = $1 AND created_at < now() - interval '1 day'", trunk_id)
    found = await tx.fetchval(
        """SELECT EXISTS (SELECT FROM trunk_tests
            WHERE trunk_id = $1 AND finished_at IS NULL AND created_at > now() - $2::interval)""",
        trunk_id,
        longest,
    )
    return bool(found)


async def add_test(tx: Tx, test_id: str, trunk_id: str, number: str | None, from_number: str | None) -> None:
    """A test that waits for a worker."""
    await tx.execute(
        "INSERT INTO trunk_tests (id, trunk_id, number, from_number) VALUES ($1, $2, $3, $4)",
        test_id,
        trunk_id,
        number,
        from_number,
    )
    await changed(tx)


async def find_test(connection: Tx | Database, tenant: str, trunk_id: str, test_id: str) -> Test | None:
    """A test of this tenant's trunk."""
    if not (is_id(trunk_id) and is_id(test_id)):
        return None
    row = await connection.fetchrow(
        """SELECT trunk_tests.*, clock_timestamp() - trunk_tests.created_at AS age
            FROM trunk_tests JOIN trunks ON trunks.id = trunk_id
            WHERE tenant = $1 AND trunk_id = $2 AND trunk_tests.id = $3""",
        tenant,
        trunk_id,
        test_id,
    )
    if row is None:
        return None
    values = {field.name: row[field.name] for field in fields(Test)}
    return Test(**{**values, "id": str(row["id"]), "trunk_id": str(row["trunk_id"])})


# ---- of workers ----------------------------------------------------------------------------------------------------


async def everybodys(db: Database) -> list[Trunk]:
    """All trunks."""
    return [_trunk(row) for row in await db.fetch(_WITH_NUMBERS + "ORDER BY id")]


async def become_registrar(db: Database, worker: str, lease: timedelta) -> set[str]:
    """The trunks that this worker registers from now on, for `lease`."""
    return {str(row["trunk_id"]) for row in await db.fetch(_BECOME_REGISTRAR, worker, lease)}


async def leave(db: Database, worker: str) -> None:
    """This worker registers nothing any more, and is not there any more."""
    async with db.transaction() as tx:
        await tx.execute("DELETE FROM trunk_registrars WHERE worker = $1", worker)
        await tx.execute("DELETE FROM trunk_states WHERE worker = $1", worker)
        await changed(tx)


async def report(db: Database, worker: str, found: Mapping[str, tuple[Any, ...]], fresh: timedelta) -> None:
    """How the trunks do at this worker: by id, whether registered, whether reached, the last error, the calls."""
    columns = zip(*found.values(), strict=True) if found else ((), (), (), ())
    await db.execute(_REPORT, worker, list(found), *(list(column) for column in columns))
    await db.execute(_FORGET_GONE_WORKERS, fresh)


async def take_tests(
    db: Database, worker: str, trunk_ids: Sequence[str], within: timedelta, limit: int
) -> list[tuple[str, str, tuple[str, str] | None]]:
    """Tests that this worker carries out and nobody else: id, trunk, and whom to call from which number."""
    rows = await db.fetch(_TAKE_TESTS, worker, trunk_ids, within, limit)
    return [
        (str(row["id"]), str(row["trunk_id"]), (row["number"], row["from_number"]) if row["number"] else None)
        for row in rows
    ]


async def write_steps(db: Database, test_id: str, steps: Sequence[Mapping[str, Any]], *, is_finished: bool) -> None:
    """What a test has found so far."""
    await db.execute(
        "UPDATE trunk_tests SET steps = $2, finished_at = CASE WHEN $3 THEN now() END WHERE id = $1",
        test_id,
        list(steps),
        is_finished,
    )
