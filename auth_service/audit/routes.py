"""The endpoint of the audit log."""

from auth_service.audit.schemas import AuditEntry, AuditPage, AuditQuery
from auth_service.audit.service import AUDIT_LOG
from shared.endpoints import Context, Router
from shared.pagination import InvalidCursorError

router = Router("User")


@router.add("GET", "/user/audit-log", auth="token", query=AuditQuery, answer=AuditPage, errors=[InvalidCursorError])
async def get_audit_log(ctx: Context[None]) -> AuditPage:
    """List what happened to the account."""
    query = ctx.query(AuditQuery)
    entries, next_cursor = await ctx.request.app[AUDIT_LOG].page(ctx.tenant, query.cursor, query.limit)
    return AuditPage(data=[AuditEntry.model_validate(entry) for entry in entries], next_cursor=next_cursor)
