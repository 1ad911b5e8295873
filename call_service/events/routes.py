"""The endpoints about the events of all calls and batches."""

from aiohttp import web

from call_service.events.errors import (
    EventsExpiredError,
    TooManyStreamsError,
    WebSocketRequiredError,
)
from call_service.events.schemas import (
    EventList,
    EventObject,
    EventsQuery,
)
from call_service.events.service import Events
from call_service.events.streams import EventStreams
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError
from shared.scopes import Scope

EVENTS = web.AppKey("events", Events)
STREAMS = web.AppKey("streams", EventStreams)

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
