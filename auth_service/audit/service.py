"""Reading the audit log."""

from aiohttp import web

from auth_service.audit import repository
from auth_service.audit.repository import Entry
from auth_service.resources import Resources
from shared.pagination import Cursors


class AuditLog:
    """What happened to an account."""

    def __init__(self, resources: Resources) -> None:
        self._db = resources.db
        self._cursors = Cursors(resources.settings.encryption_key.get_secret_value(), "audit-log")

    async def page(self, user_id: str, cursor: str | None, limit: int) -> tuple[list[Entry], str | None]:
        """A page of the user's entries, latest first, and the cursor of the next page.

        Raises:
            InvalidCursorError: the cursor was not given out by this list.
        """
        before = self._cursors.decode(cursor)[0] if cursor else None
        entries = await repository.page(self._db, user_id, before, limit + 1)
        is_last = len(entries) <= limit
        return entries[:limit], None if is_last else self._cursors.encode([entries[limit - 1].id])


AUDIT_LOG = web.AppKey("audit_log", AuditLog)
