"""Every query about the keys of vendors; they are sealed before they come here."""

from dataclasses import dataclass

from project_service.fields import values
from project_service.provider_keys.schemas import ProviderKey
from shared.db import Database, Tx
from shared.ids import is_id


@dataclass(frozen=True, slots=True)
class SealedKey:
    """A key that only its service can open."""

    provider: str
    sealed: str
    base_url: str | None


async def put(
    tx: Tx, tenant: str, project_id: str, provider: str, *, sealed: str, last_four: str, base_url: str | None
) -> ProviderKey:
    """Set a key in place of any before it."""
    row = await tx.fetchrow(
        """INSERT INTO provider_keys (tenant, project_id, provider, sealed, last_four, base_url)
           VALUES ($1, $2, $3, $4, $5, $6)
           ON CONFLICT (project_id, provider) DO UPDATE SET sealed = $4, last_four = $5, base_url = $6, set_at = now()
           RETURNING provider, last_four, base_url, set_at""",
        tenant,
        project_id,
        provider,
        sealed,
        last_four,
        base_url,
    )
    assert row is not None
    return ProviderKey.model_validate(values(row))


async def of_project(db: Database, tenant: str, project_id: str) -> list[ProviderKey]:
    """By provider."""
    rows = await db.fetch(
        """SELECT provider, last_four, base_url, set_at FROM provider_keys
           WHERE tenant = $1 AND project_id = $2 ORDER BY provider""",
        tenant,
        project_id,
    )
    return [ProviderKey.model_validate(values(row)) for row in rows]


async def sealed_of(db: Database, tenant: str, project_id: str) -> list[SealedKey]:
    """The keys of a live project; none of any other."""
    if not is_id(project_id):
        return []
    rows = await db.fetch(
        """SELECT k.provider, k.sealed, k.base_url FROM provider_keys k JOIN live_projects p ON p.id = k.project_id
           WHERE k.tenant = $1 AND p.tenant = $1 AND k.project_id = $2""",
        tenant,
        project_id,
    )
    return [SealedKey(**row) for row in rows]


async def delete(tx: Tx, tenant: str, project_id: str, provider: str) -> bool:
    """False: there was none."""
    query = "DELETE FROM provider_keys WHERE tenant = $1 AND project_id = $2 AND provider = $3 RETURNING true"
    return bool(await tx.fetchval(query, tenant, project_id, provider))


async def delete_all(tx: Tx, tenant: str, project_id: str) -> None:
    """The project is gone."""
    await tx.execute("DELETE FROM provider_keys WHERE tenant = $1 AND project_id = $2", tenant, project_id)
