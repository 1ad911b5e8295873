"""The endpoints about the events of all calls and batches."""

from aiohttp import web

from call_service.events.errors import (
    EventsExpiredError,
    StreamTokenUnusableError,
    TooManyStreamsError,
    WebSocketRequiredError,
)
from call_service.events.repository import Bounds
from call_service.events.schemas import (
    EventList,
    EventObject,
    EventsQuery,
    StreamToken,
    StreamTokenOwner,
    StreamTokenRequest,
    StreamTokenUse,
)
from call_service.events.service import Events
from call_service.events.streams import EventStreams
from call_service.events.tokens import LIFETIME, StreamTokens
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError
from shared.scopes import Scope

EVENTS = web.AppKey("events", Events)
STREAMS = web.AppKey("streams", EventStreams)
STREAM_TOKENS = web.AppKey("stream_tokens", StreamTokens)

router = Router("Events")


@router.add(
    "GET",
    "/events",
    scope=Scope.CALLS_READ,
    by_stream_token=True,
    query=EventsQuery,
    answer=EventList,
    content_type="text/event-stream",
    errors=[InvalidCursorError, EventsExpiredError, TooManyStreamsError],
    invalid=unprocessable,
)
async def get_events(ctx: Context[None]) -> EventList | web.StreamResponse:
    """Follow all calls and batches as Server-Sent Events; with `Accept: application/json`, read a page of events."""
    query = ctx.query(EventsQuery, unprocessable)
    events = ctx.request.app[EVENTS]
    selection = query.selection(ctx.tenant)
    accept = ctx.request.headers.get("Accept", "")
    if "application/json" in accept and "text/event-stream" not in accept:
        found, cursor = await events.page(selection, query.cursor, query.limit)
        return EventList(data=[EventObject.of(item.event) for item in found], next_cursor=cursor)
    after = await events.start(ctx.request.headers.get("Last-Event-ID") or query.cursor)
    return await ctx.request.app[STREAMS].sse(ctx.request, events.of_tenant(selection), after)


@router.add(
    "GET",
    "/events/ws",
    scope=Scope.CALLS_READ,
    by_stream_token=True,
    query=EventsQuery,
    status=101,
    errors=[InvalidCursorError, EventsExpiredError, TooManyStreamsError, WebSocketRequiredError],
    invalid=unprocessable,
)
async def get_events_by_websocket(ctx: Context[None]) -> web.StreamResponse:
    """Follow all calls and batches over a WebSocket, behind `cursor` where it is given."""
    query = ctx.query(EventsQuery, unprocessable)
    events = ctx.request.app[EVENTS]
    after = await events.start(query.cursor)
    return await ctx.request.app[STREAMS].websocket(ctx.request, events.of_tenant(query.selection(ctx.tenant)), after)


@router.add(
    "POST",
    "/events/token",
    scope=Scope.CALLS_READ,
    body=StreamTokenRequest,
    answer=StreamToken,
    invalid=unprocessable,
)
async def create_stream_token(ctx: Context[StreamTokenRequest]) -> StreamToken:
    """A token that opens one stream (`?token=`) for a browser, whose EventSource and WebSocket send no credentials."""
    bounds = Bounds(ctx.body.project_id, ctx.body.call_id)
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
    return StreamTokenOwner(user_id=owner.user_id, credential=owner.credential, session_id=owner.session_id)
