"""Every query about projects."""

from typing import Any

import asyncpg

from project_service.fields import values
from project_service.projects.errors import ProjectNameTakenError
from project_service.projects.schemas import Project
from shared.db import Database, Tx
from shared.ids import is_id

_SHARE = "SELECT true FROM projects WHERE tenant = $1 AND id = $2 AND NOT is_deleted FOR SHARE"
_LOCK = "SELECT true FROM projects WHERE tenant = $1 AND id = $2 AND NOT is_deleted FOR NO KEY UPDATE"


async def find(connection: Tx | Database, tenant: str, project_id: str) -> Project | None:
    """A live project of this tenant."""
    if not is_id(project_id):
        return None
    row = await connection.fetchrow("SELECT * FROM live_projects WHERE tenant = $1 AND id = $2", tenant, project_id)
    return Project.model_validate(values(row)) if row else None


async def lock(tx: Tx, tenant: str, project_id: str, *, exclusively: bool = False) -> bool:
    """Keep a live project from being deleted (or from being added to) until the transaction ends; False: there is none.

    Whoever adds an agent or a number holds the shared lock, and a deletion the exclusive one.
    """
    if not is_id(project_id):
        return False
    return bool(await tx.fetchval(_LOCK if exclusively else _SHARE, tenant, project_id))


async def page(db: Database, tenant: str, before_id: str | None, limit: int) -> list[Project]:
    """Newest first; `before_id` is the last id of the page before."""
    rows = await db.fetch(
        """SELECT * FROM live_projects WHERE tenant = $1 AND ($2::uuid IS NULL OR id < $2)
           ORDER BY id DESC LIMIT $3""",
        tenant,
        before_id,
        limit,
    )
    return [Project.model_validate(values(row)) for row in rows]


async def insert(tx: Tx, tenant: str, project_id: str, name: str, description: str) -> None:
    """Raises ProjectNameTakenError."""
    await _write(
        tx,
        "INSERT INTO projects (tenant, id, name, description) VALUES ($1, $2, $3, $4)",
        tenant,
        project_id,
        name,
        description,
    )


async def update(tx: Tx, tenant: str, project_id: str, name: str | None, description: str | None) -> None:
    """Change what is given. Raises ProjectNameTakenError."""
    await _write(
        tx,
        """UPDATE projects SET name = coalesce($3, name), description = coalesce($4, description), updated_at = now()
           WHERE tenant = $1 AND id = $2""",
        tenant,
        project_id,
        name,
        description,
    )


async def _write(tx: Tx, statement: str, *args: Any) -> None:
    try:
        await tx.execute(statement, *args)
    except asyncpg.UniqueViolationError as error:
        raise ProjectNameTakenError from error


async def has_contents(tx: Tx, tenant: str, project_id: str) -> bool:
    """Are there agents or phone numbers left?"""
    return bool(
        await tx.fetchval(
            """SELECT EXISTS (SELECT FROM agents WHERE tenant = $1 AND project_id = $2 AND NOT is_deleted)
                   OR EXISTS (SELECT FROM phone_numbers WHERE tenant = $1 AND project_id = $2)""",
            tenant,
            project_id,
        )
    )


async def mark_deleted(tx: Tx, tenant: str, project_id: str) -> None:
    """From here on the project, its name included, is as if it had never been."""
    await tx.execute(
        """UPDATE projects SET is_deleted = true, active_agent = NULL, updated_at = now()
           WHERE tenant = $1 AND id = $2""",
        tenant,
        project_id,
    )


async def set_active_agent(tx: Tx, tenant: str, project_id: str, agent_id: str) -> None:
    await tx.execute(
        "UPDATE projects SET active_agent = $3, updated_at = now() WHERE tenant = $1 AND id = $2",
        tenant,
        project_id,
        agent_id,
    )


async def clear_active_agent(tx: Tx, tenant: str, agent_id: str) -> str | None:
    """The id of the project whose active agent this was."""
    if not is_id(agent_id):
        return None
    project_id = await tx.fetchval(
        """UPDATE projects SET active_agent = NULL, updated_at = now()
           WHERE tenant = $1 AND active_agent = $2 AND NOT is_deleted RETURNING id""",
        tenant,
        agent_id,
    )
    return str(project_id) if project_id else None
