"""Every query about phone numbers. A number belongs to one project of one user."""

from collections.abc import Sequence

from project_service.fields import values
from project_service.phone_numbers.errors import PhoneNumberTakenError
from project_service.phone_numbers.schemas import ListNumbersQuery, PhoneNumber
from shared.db import Database, Record, Tx
from shared.ids import is_id, new_id


def _number(row: Record) -> PhoneNumber:
    status = "ASSIGNED" if row["agent_id"] else "AVAILABLE"
    return PhoneNumber.model_validate({**values(row), "status": status})


async def assign(tx: Tx, tenant: str, project_id: str, agent_id: str, e164: str) -> PhoneNumber:
    """Give the number to the agent, taking it from another agent of the same project if need be.

    Raises:
        PhoneNumberTakenError: another project has it.
    """
    row = await tx.fetchrow(
        """INSERT INTO phone_numbers AS n (id, tenant, project_id, agent_id, e164, assigned_at)
           VALUES ($1, $2, $3, $4, $5, clock_timestamp())
           ON CONFLICT (e164) DO UPDATE SET agent_id = $4, assigned_at = clock_timestamp()
           WHERE n.tenant = $2 AND n.project_id = $3
           RETURNING *""",
        new_id(),
        tenant,
        project_id,
        agent_id,
        e164,
    )
    if row is None:
        raise PhoneNumberTakenError
    return _number(row)


async def find(connection: Tx | Database, tenant: str, number_id: str) -> PhoneNumber | None:
    if not is_id(number_id):
        return None
    row = await connection.fetchrow("SELECT * FROM phone_numbers WHERE tenant = $1 AND id = $2", tenant, number_id)
    return _number(row) if row else None


async def called(db: Database, tenants: Sequence[str], e164: str) -> tuple[str, PhoneNumber] | None:
    """The number that somebody calls, and which of these users has it."""
    row = await db.fetchrow("SELECT * FROM phone_numbers WHERE tenant = ANY($1::uuid[]) AND e164 = $2", tenants, e164)
    return (str(row["tenant"]), _number(row)) if row else None


async def of_agent(db: Database, tenant: str, agent_id: str) -> list[PhoneNumber]:
    """The one assigned last first: it is the one the agent calls from."""
    if not is_id(agent_id):
        return []
    rows = await db.fetch(
        "SELECT * FROM phone_numbers WHERE tenant = $1 AND agent_id = $2 ORDER BY assigned_at DESC", tenant, agent_id
    )
    return [_number(row) for row in rows]


async def of_project(db: Database, tenant: str, project_id: str) -> list[PhoneNumber]:
    """Oldest first."""
    if not is_id(project_id):
        return []
    rows = await db.fetch(
        "SELECT * FROM phone_numbers WHERE tenant = $1 AND project_id = $2 ORDER BY id", tenant, project_id
    )
    return [_number(row) for row in rows]


async def page(db: Database, tenant: str, query: ListNumbersQuery, before_id: str | None) -> list[PhoneNumber]:
    """Newest first; `before_id` is the last id of the page before."""
    if query.project_id is not None and not is_id(query.project_id):
        return []
    rows = await db.fetch(
        """SELECT * FROM phone_numbers
           WHERE tenant = $1 AND ($2::uuid IS NULL OR project_id = $2) AND ($3::uuid IS NULL OR id < $3)
           ORDER BY id DESC LIMIT $4""",
        tenant,
        query.project_id,
        before_id,
        query.limit_and_one,
    )
    return [_number(row) for row in rows]


async def unassign(tx: Tx, tenant: str, number_id: str) -> PhoneNumber | None:
    if not is_id(number_id):
        return None
    row = await tx.fetchrow(
        "UPDATE phone_numbers SET agent_id = NULL, assigned_at = NULL WHERE tenant = $1 AND id = $2 RETURNING *",
        tenant,
        number_id,
    )
    return _number(row) if row else None


async def unassign_of_agent(tx: Tx, tenant: str, agent_id: str) -> list[PhoneNumber]:
    rows = await tx.fetch(
        "UPDATE phone_numbers SET agent_id = NULL, assigned_at = NULL WHERE tenant = $1 AND agent_id = $2 RETURNING *",
        tenant,
        agent_id,
    )
    return [_number(row) for row in rows]


async def release(tx: Tx, tenant: str, number_id: str) -> PhoneNumber | None:
    """Delete the number: anybody may add it from now on."""
    if not is_id(number_id):
        return None
    row = await tx.fetchrow("DELETE FROM phone_numbers WHERE tenant = $1 AND id = $2 RETURNING *", tenant, number_id)
    return _number(row) if row else None


async def release_of_project(tx: Tx, tenant: str, project_id: str) -> list[PhoneNumber]:
    rows = await tx.fetch(
        "DELETE FROM phone_numbers WHERE tenant = $1 AND project_id = $2 RETURNING *", tenant, project_id
    )
    return [_number(row) for row in rows]
