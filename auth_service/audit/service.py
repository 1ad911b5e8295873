"""Reading the audit log."""

from aiohttp import web

from auth_service.audit import repository
from auth_service.audit.repository import Entry
from auth_service.resources import Resources
from shared.pagination import Cursors, PageQuery, page_of


class AuditLog:
    """What happened to an account."""

    def __init__(self, resources: Resources) -> None:
        self._db = resources.db
        self._cursors = Cursors(resources.settings.encryption_key.get_secret_value(), "audit-log")

    async def page(self, user_id: str, query: PageQuery) -> tuple[list[Entry], str | None]:
        """A page of the user's entries, latest first, and the cursor of the next page.

        Raises:
            InvalidCursorError: the cursor was not given out by this list.
        """
        found = await repository.page(self._db, user_id, query.position(self._cursors), query.limit_and_one)
        return page_of(found, query, self._cursors, lambda entry: entry.id)


AUDIT_LOG = web.AppKey("audit_log", AuditLog)
