"""Every query about the secrets of tools; they are sealed before they come here."""

from project_service.fields import values
from project_service.tool_secrets.schemas import ToolSecret
from shared.db import Database, Tx
from shared.ids import is_id


async def put(tx: Tx, tenant: str, project_id: str, name: str, sealed: str) -> ToolSecret:
    """Set a secret in place of any before it."""
    row = await tx.fetchrow(
        """INSERT INTO tool_secrets (tenant, project_id, name, sealed) VALUES ($1, $2, $3, $4)
           ON CONFLICT (project_id, name) DO UPDATE SET sealed = $4, set_at = now() RETURNING name, set_at""",
        tenant,
        project_id,
        name,
        sealed,
    )
    assert row is not None
    return ToolSecret.model_validate(values(row))


async def of_project(connection: Tx | Database, tenant: str, project_id: str) -> list[ToolSecret]:
    """By name."""
    rows = await connection.fetch(
        "SELECT name, set_at FROM tool_secrets WHERE tenant = $1 AND project_id = $2 ORDER BY name", tenant, project_id
    )
    return [ToolSecret.model_validate(values(row)) for row in rows]


async def sealed_of(db: Database, tenant: str, project_id: str) -> dict[str, str]:
    """The secrets of a live project, by name; none of any other."""
    if not is_id(project_id):
        return {}
    rows = await db.fetch(
        """SELECT s.name, s.sealed FROM tool_secrets s JOIN live_projects p ON p.id = s.project_id
           WHERE s.tenant = $1 AND p.tenant = $1 AND s.project_id = $2""",
        tenant,
        project_id,
    )
    return {row["name"]: row["sealed"] for row in rows}


async def delete(tx: Tx, tenant: str, project_id: str, name: str) -> bool:
    """False: there was none."""
    query = "DELETE FROM tool_secrets WHERE tenant = $1 AND project_id = $2 AND name = $3 RETURNING true"
    return bool(await tx.fetchval(query, tenant, project_id, name))


async def delete_all(tx: Tx, tenant: str, project_id: str) -> None:
    """The project is gone."""
    await tx.execute("DELETE FROM tool_secrets WHERE tenant = $1 AND project_id = $2", tenant, project_id)
