"""The audit log: rows are written in the transaction of what they record, and never changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from auth_service.audit.events import Action
from shared.client import Client
from shared.db import Database, Tx
from shared.ids import new_id

PRUNE = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE created_at < now() - $1::interval LIMIT $2)"


_PAGE = """
SELECT id::text, action, ip, user_agent, detail, created_at FROM audit_log
WHERE user_id = $1 AND ($2::uuid IS NULL OR id < $2) ORDER BY id DESC LIMIT $3
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One fact about an account."""

    id: str
    action: str
    ip: str
    user_agent: str
    detail: dict[str, Any]
    created_at: datetime


async def page(db: Database, user_id: str, before: str | None, limit: int) -> list[Entry]:
    """The user's entries older than the entry `before`, latest first."""
    return [Entry(**row) for row in await db.fetch(_PAGE, user_id, before, limit)]


async def record(tx: Tx, action: Action, user_id: str | None, client: Client, now: datetime, **detail: Any) -> None:
    """`user_id` is None when the address belongs to nobody."""
    await tx.execute(
        """
        INSERT INTO audit_log (id, user_id, action, ip, user_agent, detail, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        """,
        new_id(),
        user_id,
        action.value,
        client.ip,
        client.user_agent,
        detail,
        now,
    )
