"""The endpoint of the audit log."""

from auth_service.audit.schemas import AuditEntry, AuditPage
from auth_service.audit.service import AUDIT_LOG
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError, PageQuery

router = Router("User")


@router.add(
    "GET",
    "/user/audit-log",
    auth="token",
    query=PageQuery,
    answer=AuditPage,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def get_audit_log(ctx: Context[None]) -> AuditPage:
    """List what happened to the account."""
    query = ctx.query(PageQuery, unprocessable)
    entries, next_cursor = await ctx.request.app[AUDIT_LOG].page(ctx.tenant, query)
    return AuditPage(data=[AuditEntry.model_validate(entry) for entry in entries], next_cursor=next_cursor)
