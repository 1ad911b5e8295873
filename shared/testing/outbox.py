"""A handler and a shortcut for tests of the outbox and the inbox."""

from collections.abc import Mapping
from typing import Any

from shared import outbox
from shared.db import Database
from shared.events import Event


async def add_event(db: Database, subject: str, data: Mapping[str, Any] | None = None) -> Event:
    """One `call.ended` event in a transaction of its own."""
    async with db.transaction() as tx:
        return await outbox.add(
            tx, source="test", type="call.ended", subject=subject, tenant="t", project_id=None, data=data or {}
        )
