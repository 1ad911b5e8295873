"""The endpoints about tokens that open one stream."""

from aiohttp import web

from call_service.calls.errors import CallNotFoundError, ProjectNotFoundError
from call_service.calls.routes import CALLS
from call_service.events.errors import StreamTokenUnusableError
from call_service.events.repository import Bounds
from call_service.events.schemas import StreamToken, StreamTokenOwner, StreamTokenRequest, StreamTokenUse
from call_service.events.tokens import LIFETIME, StreamTokens
from call_service.projects import ProjectServiceUnavailableError
from shared.endpoints import Context, Router, unprocessable
from shared.scopes import Scope

STREAM_TOKENS = web.AppKey("stream_tokens", StreamTokens)

router = Router("Events")


@router.add(
    "POST",
    "/events/token",
    scope=Scope.CALLS_READ,
    body=StreamTokenRequest,
    answer=StreamToken,
    errors=[CallNotFoundError, ProjectNotFoundError, ProjectServiceUnavailableError],
    invalid=unprocessable,
)
async def create_stream_token(ctx: Context[StreamTokenRequest]) -> StreamToken:
    """A token that opens one stream (`?token=`) for a browser, whose EventSource and WebSocket send no credentials."""
    calls, bounds = ctx.request.app[CALLS], Bounds(ctx.body.project_id, ctx.body.call_id)
    if bounds.call_id:
        await calls.get(ctx.tenant, bounds.call_id)
    if bounds.project_id:
        await calls.require_project(ctx.tenant, bounds.project_id)
    token = await ctx.request.app[STREAM_TOKENS].issue(ctx.principal, bounds)
    return StreamToken(token=token, expires_in=int(LIFETIME.total_seconds()))


@router.add(
    "POST",
    "/internal/events/redeem-token",
    auth="internal",
    body=StreamTokenUse,
    answer=StreamTokenOwner,
    errors=[StreamTokenUnusableError],
)
async def redeem_stream_token(ctx: Context[StreamTokenUse]) -> StreamTokenOwner:
    """Use a token up, for the gateway."""
    owner = await ctx.request.app[STREAM_TOKENS].redeem(ctx.body.token, ctx.body.target)
    return StreamTokenOwner.model_validate(owner)
