"""Every query about agents and their versions. A version, once written, is never changed."""

from collections.abc import Mapping
from datetime import datetime

from project_service.agents.schemas import Agent, AgentVersion
from project_service.agents.settings import AgentSettings
from project_service.fields import values
from shared.db import Database, Record, Tx
from shared.ids import is_id
from shared.stored import as_stored


def _agent(row: Record) -> Agent:
    columns = values(row)
    return as_stored(Agent, {**columns.pop("settings"), **columns, "agent_id": columns["id"]})


def _version(row: Record) -> AgentVersion:
    columns = values(row)
    return as_stored(AgentVersion, {**columns.pop("settings"), **columns})


async def insert(tx: Tx, tenant: str, project_id: str, agent_id: str) -> None:
    """The agent at version 1, which is to be added."""
    query = "INSERT INTO agents (tenant, project_id, id) VALUES ($1, $2, $3)"
    await tx.execute(query, tenant, project_id, agent_id)


async def add_version(
    tx: Tx,
    tenant: str,
    agent_id: str,
    version: int,
    *,
    name: str,
    system_instruction: str,
    voice_id: str,
    settings: AgentSettings,
) -> None:
    """Make this version the agent's present one."""
    await tx.execute(
        """INSERT INTO agent_versions (tenant, agent_id, version, name, system_instruction, voice_id, settings)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        tenant,
        agent_id,
        version,
        name,
        system_instruction,
        voice_id,
        settings.model_dump(mode="json", by_alias=True),
    )
    await tx.execute("UPDATE agents SET version = $3 WHERE tenant = $1 AND id = $2", tenant, agent_id, version)


async def touch(tx: Tx, tenant: str, agent_id: str) -> None:
    """The agent was changed just now."""
    await tx.execute("UPDATE agents SET updated_at = now() WHERE tenant = $1 AND id = $2", tenant, agent_id)


async def find(connection: Tx | Database, tenant: str, project_id: str, agent_id: str) -> Agent | None:
    """A live agent of a live project."""
    if not (is_id(project_id) and is_id(agent_id)):
        return None
    row = await connection.fetchrow(
        "SELECT * FROM live_agents WHERE tenant = $1 AND project_id = $2 AND id = $3", tenant, project_id, agent_id
    )
    return _agent(row) if row else None


_CALLABLE = """
SELECT a.id, a.tenant, a.project_id, a.phone_number, a.created_at, a.updated_at,
    v.version, v.name, v.system_instruction, v.voice_id, v.settings
FROM live_agents a JOIN agent_versions v ON v.tenant = a.tenant AND v.agent_id = a.id
WHERE a.tenant = $1 AND a.project_id = $2 AND a.id = $3 AND NOT EXISTS (
    SELECT FROM jsonb_array_elements_text(coalesce(v.settings -> 'requiredTests', '[]')) AS required (scenario)
    WHERE NOT EXISTS (SELECT FROM agent_test_results r
        WHERE r.tenant = $1 AND r.agent_id = v.agent_id AND r.version = v.version
            AND r.scenario = required.scenario AND r.has_passed))
ORDER BY v.version DESC LIMIT 1
"""
_KEEP_RESULTS = """
INSERT INTO agent_test_results AS known (tenant, agent_id, version, scenario, has_passed, tested_at)
SELECT $1, $2, $3, scenario, has_passed, $6 FROM unnest($4::text[], $5::boolean[]) AS new (scenario, has_passed)
ON CONFLICT (tenant, agent_id, version, scenario) DO UPDATE
    SET has_passed = excluded.has_passed, tested_at = excluded.tested_at WHERE known.tested_at <= excluded.tested_at
"""


async def find_callable(connection: Tx | Database, tenant: str, project_id: str, agent_id: str) -> Agent | None:
    """The newest version that has passed the tests it requires."""
    if not (is_id(project_id) and is_id(agent_id)):
        return None
    row = await connection.fetchrow(_CALLABLE, tenant, project_id, agent_id)
    return _agent(row) if row else None


async def keep_results(
    tx: Tx, tenant: str, agent_id: str, version: int, *, passed: Mapping[str, bool], tested_at: datetime
) -> None:
    """Which scenarios a version has passed; of several results the latest counts."""
    await tx.execute(_KEEP_RESULTS, tenant, agent_id, version, list(passed), list(passed.values()), tested_at)


async def lock(tx: Tx, tenant: str, project_id: str, agent_id: str) -> Agent | None:
    """As `find`, and nobody else changes the agent until the transaction ends."""
    if not (is_id(project_id) and is_id(agent_id)):
        return None
    query = "SELECT true FROM agents WHERE tenant = $1 AND project_id = $2 AND id = $3 FOR UPDATE"
    await tx.execute(query, tenant, project_id, agent_id)
    return await find(tx, tenant, project_id, agent_id)


async def of_project(connection: Tx | Database, tenant: str, project_id: str) -> list[Agent]:
    """Oldest first."""
    rows = await connection.fetch(
        "SELECT * FROM live_agents WHERE tenant = $1 AND project_id = $2 ORDER BY id", tenant, project_id
    )
    return [_agent(row) for row in rows]


async def mark_deleted(tx: Tx, tenant: str, agent_id: str) -> None:
    await tx.execute(
        "UPDATE agents SET is_deleted = true, updated_at = now() WHERE tenant = $1 AND id = $2", tenant, agent_id
    )


async def versions(
    db: Database, tenant: str, agent_id: str, before_version: int | None, limit: int
) -> list[AgentVersion]:
    """Newest first, of a live agent; `before_version` is the last one of the page before."""
    if not is_id(agent_id):
        return []
    rows = await db.fetch(
        """SELECT v.version, v.name, v.system_instruction, v.voice_id, v.settings, v.created_at
           FROM agent_versions v JOIN live_agents a ON a.id = v.agent_id
           WHERE v.tenant = $1 AND a.tenant = $1 AND v.agent_id = $2 AND ($3::int IS NULL OR v.version < $3)
           ORDER BY v.version DESC LIMIT $4""",
        tenant,
        agent_id,
        before_version,
        limit,
    )
    return [_version(row) for row in rows]
