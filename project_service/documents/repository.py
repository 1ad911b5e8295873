"""Every query about documents and their passages. A document, once written, is never changed."""

from collections.abc import Sequence

from project_service.documents.schemas import Document, Kind
from project_service.fields import values
from shared.db import Database, Tx
from shared.ids import is_id

_AGENT = """
SELECT true FROM agents a JOIN projects p ON p.id = a.project_id AND NOT p.is_deleted
WHERE a.tenant = $1 AND a.id = $2 AND NOT a.is_deleted
"""


async def exists_agent(db: Database, tenant: str, agent_id: str) -> bool:
    """Is there such an agent, in a live project?"""
    return is_id(agent_id) and bool(await db.fetchval(_AGENT, tenant, agent_id))


async def lock_agent(tx: Tx, tenant: str, agent_id: str) -> bool:
    """As `exists_agent`, and nobody else adds documents until the transaction ends."""
    return is_id(agent_id) and bool(await tx.fetchval(_AGENT + "FOR UPDATE OF a", tenant, agent_id))


async def totals(tx: Tx, tenant: str, agent_id: str) -> tuple[int, int]:
    """How many documents and passages an agent has."""
    query = "SELECT count(*), coalesce(sum(passages), 0) FROM documents WHERE tenant = $1 AND agent_id = $2"
    row = await tx.fetchrow(query, tenant, agent_id)
    assert row is not None
    return int(row[0]), int(row[1])


async def insert(
    tx: Tx,
    tenant: str,
    agent_id: str,
    document_id: str,
    *,
    name: str,
    kind: Kind,
    size: int,
    digest: str,
    passages: Sequence[str],
) -> Document | None:
    """None: the agent has a document with this digest."""
    row = await tx.fetchrow(
        """INSERT INTO documents (id, tenant, agent_id, name, kind, bytes, digest, passages)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (agent_id, digest) DO NOTHING
            RETURNING id, name, kind, bytes, passages, created_at""",
        document_id,
        tenant,
        agent_id,
        name,
        kind,
        size,
        digest,
        len(passages),
    )
    if row is None:
        return None
    await tx.execute(
        """INSERT INTO document_passages (document_id, position, tenant, text)
           SELECT $1, number, $2, text FROM unnest($3::text[]) WITH ORDINALITY AS given (text, number)""",
        document_id,
        tenant,
        list(passages),
    )
    return Document.model_validate(values(row))


async def of_agent(db: Database, tenant: str, agent_id: str) -> list[Document]:
    """Oldest first."""
    rows = await db.fetch(
        """SELECT id, name, kind, bytes, passages, created_at FROM documents
           WHERE tenant = $1 AND agent_id = $2 ORDER BY id""",
        tenant,
        agent_id,
    )
    return [Document.model_validate(values(row)) for row in rows]


async def delete(tx: Tx, tenant: str, agent_id: str, document_id: str) -> bool:
    """False: there was none."""
    if not (is_id(agent_id) and is_id(document_id)):
        return False
    query = "DELETE FROM documents WHERE tenant = $1 AND agent_id = $2 AND id = $3 RETURNING true"
    return bool(await tx.fetchval(query, tenant, agent_id, document_id))


async def delete_all(tx: Tx, tenant: str, agent_id: str) -> None:
    """The agent is gone."""
    await tx.execute("DELETE FROM documents WHERE tenant = $1 AND agent_id = $2", tenant, agent_id)


async def revision(db: Database, tenant: str, agent_id: str) -> str:
    """Changes with every document that comes or goes."""
    query = "SELECT md5(string_agg(id::text, ',' ORDER BY id)) FROM documents WHERE tenant = $1 AND agent_id = $2"
    return str(await db.fetchval(query, tenant, agent_id) or "")


async def passages(db: Database, tenant: str, agent_id: str) -> list[tuple[str, str]]:
    """Names of documents with texts, in order."""
    rows = await db.fetch(
        """SELECT d.name, p.text FROM documents d JOIN document_passages p ON p.document_id = d.id
           WHERE d.tenant = $1 AND p.tenant = $1 AND d.agent_id = $2 ORDER BY d.id, p.position""",
        tenant,
        agent_id,
    )
    return [(row["name"], row["text"]) for row in rows]
