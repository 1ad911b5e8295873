"""The audit log: rows are written in the transaction of what they record, and never changed."""

from datetime import datetime
from typing import Any

from auth_service.audit.events import Action
from auth_service.client import Client
from shared.db import Tx
from shared.ids import new_id

PRUNE = "DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE created_at < now() - $1::interval LIMIT $2)"


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
