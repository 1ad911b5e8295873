"""Every query about calls that come in."""

from collections.abc import Sequence
from datetime import timedelta

from call_service.calls import repository as calls
from call_service.calls.domain import Call
from call_service.projects import CalledNumber
from shared.db import Database, Tx
from shared.ids import is_id, new_id


async def tenants_of_trunks(db: Database, trunk_ids: Sequence[str]) -> dict[str, str]:
    """Whose trunks these are, in their order; without those that are gone."""
    rows = await db.fetch("SELECT id, tenant FROM trunks WHERE id = ANY($1::uuid[])", list(filter(is_id, trunk_ids)))
    tenants = {str(row["id"]): str(row["tenant"]) for row in rows}
    return {trunk_id: tenants[trunk_id] for trunk_id in trunk_ids if trunk_id in tenants}


async def insert(
    tx: Tx,
    trunk_id: str,
    called: CalledNumber,
    *,
    from_number: str,
    to_number: str,
    owner: str,
    lease: timedelta,
) -> Call:
    """A call that rings at `owner`, who holds it from the start."""
    agent, call_id = called.agent or {}, new_id()
    await tx.execute(
        """INSERT INTO calls (id, tenant, project_id, agent_id, agent_version, agent, direction, from_number,
                to_number, status, carrier, trunk_id, initiated_at, owner, fence, lease_until)
            VALUES ($1, $2, $3, $4, $5, $6, 'inbound', $7, $8, 'ringing', 'sip', $9, now(), $10, 1, now() + $11)""",
        call_id,
        called.tenant,
        called.project_id,
        agent.get("id"),
        agent.get("version", 0),
        agent,
        from_number,
        to_number,
        trunk_id,
        owner,
        lease,
    )
    call = await calls.lock(tx, called.tenant, call_id)
    assert call is not None
    return call
