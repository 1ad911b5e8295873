"""The endpoints about calls."""

from aiohttp import web

from call_service.calls import errors
from call_service.calls.schemas import (
    AnalysisAnswer,
    AnalysisRequest,
    CallList,
    CallListQuery,
    CallObject,
    CallRequest,
    CancelAnswer,
    EndAnswer,
    HistoryAnswer,
    HistoryQuery,
    MakeCallAnswer,
    MakeCallRequest,
    QueuedCall,
    TranscriptAnswer,
    TurnObject,
)
from call_service.calls.service import Calls
from call_service.events.errors import EventsExpiredError, TooManyStreamsError
from call_service.events.routes import EVENTS, STREAMS
from call_service.events.schemas import CallEventsQuery
from call_service.projects import ProjectServiceUnavailableError
from call_service.recordings import RecordingStore
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError
from shared.scopes import Scope

CALLS = web.AppKey("calls", Calls)
RECORDINGS = web.AppKey("recordings", RecordingStore)

router = Router("Calls")


@router.add(
    "POST",
    "/call/makeCall",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    body=MakeCallRequest,
    answer=MakeCallAnswer,
    errors=[
        errors.VariableMissingError,
        errors.ProjectNotFoundError,
        errors.AgentNotFoundError,
        errors.ActiveAgentNotSetError,
        errors.NoPhoneNumberError,
        errors.OnDoNotCallListError,
        errors.ProviderKeyMissingError,
        errors.TestsNotPassedError,
        ProjectServiceUnavailableError,
    ],
)
async def make_call(ctx: Context[MakeCallRequest]) -> MakeCallAnswer:
    """Queue a call to a number."""
    body = ctx.body
    call = await ctx.request.app[CALLS].make(
        ctx.tenant, body.number, body.project_id, body.agent_id, body.dynamic_variables
    )
    return MakeCallAnswer(
        call=QueuedCall(call_id=call.id, to=call.to_number, from_=call.from_number, status=call.status.value)
    )


@router.add(
    "POST", "/call", scope=Scope.CALLS_READ, body=CallRequest, answer=CallObject, errors=[errors.CallNotFoundError]
)
async def get_call_data(ctx: Context[CallRequest]) -> CallObject:
    """Read a call by its id and project."""
    calls = ctx.request.app[CALLS]
    return await calls.show(await calls.get(ctx.tenant, ctx.body.sid, ctx.body.project_id))


@router.add(
    "POST",
    "/call/get-call-history",
    scope=Scope.CALLS_READ,
    query=HistoryQuery,
    answer=HistoryAnswer,
    errors=[errors.ProjectNotFoundError, InvalidCursorError, ProjectServiceUnavailableError],
)
async def get_call_history(ctx: Context[None]) -> HistoryAnswer:
    """List a project's calls, newest first."""
    shown, cursor = await ctx.request.app[CALLS].history(ctx.tenant, ctx.query(HistoryQuery))
    return HistoryAnswer(calls=shown, next_cursor=cursor)


@router.add(
    "POST",
    "/call/analysis",
    scope=Scope.CALLS_READ,
    body=AnalysisRequest,
    answer=AnalysisAnswer,
    errors=[errors.CallNotFoundError, errors.CallNotEndedError, errors.CallNotAnsweredError],
)
async def analyze_call(ctx: Context[AnalysisRequest]) -> AnalysisAnswer:
    """Ask questions about an ended call."""
    return AnalysisAnswer(analysis=await ctx.request.app[CALLS].analysis(ctx.tenant, ctx.body.sid, ctx.body.questions))


@router.add(
    "GET",
    "/call",
    scope=Scope.CALLS_READ,
    query=CallListQuery,
    answer=CallList,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def list_calls(ctx: Context[None]) -> CallList:
    """List all calls, newest first."""
    shown, cursor = await ctx.request.app[CALLS].listed(ctx.tenant, ctx.query(CallListQuery, unprocessable))
    return CallList(data=shown, next_cursor=cursor)


@router.add("GET", "/call/{call_id}", scope=Scope.CALLS_READ, answer=CallObject, errors=[errors.CallNotFoundError])
async def get_call(ctx: Context[None]) -> CallObject:
    """Read a call."""
    calls = ctx.request.app[CALLS]
    return await calls.show(await calls.get(ctx.tenant, ctx.path("call_id")))


@router.add(
    "POST",
    "/call/{call_id}/cancel",
    scope=Scope.CALLS_WRITE,
    answer=CancelAnswer,
    errors=[
        errors.CallNotFoundError,
        errors.CallAnsweredError,
        errors.CallEndedError,
        errors.CancelUnconfirmedError,
    ],
)
async def cancel_call(ctx: Context[None]) -> CancelAnswer:
    """Cancel a call before it is answered; from the answer on, nobody is dialled who was not."""
    calls = ctx.request.app[CALLS]
    return CancelAnswer(call=await calls.show(await calls.cancel(ctx.tenant, ctx.path("call_id"))))


@router.add(
    "POST",
    "/call/{call_id}/end",
    scope=Scope.CALLS_WRITE,
    status=202,
    answer=EndAnswer,
    errors=[errors.CallNotFoundError, errors.CallNotInProgressError, errors.CallEndedError],
)
async def end_call(ctx: Context[None]) -> EndAnswer:
    """Ask the agent to say goodbye and hang up."""
    calls = ctx.request.app[CALLS]
    return EndAnswer(call=await calls.show(await calls.request_end(ctx.tenant, ctx.path("call_id"))))


@router.add(
    "GET",
    "/call/{call_id}/transcript",
    scope=Scope.CALLS_READ,
    answer=TranscriptAnswer,
    errors=[errors.CallNotFoundError],
)
async def get_transcript(ctx: Context[None]) -> TranscriptAnswer:
    """Read what was said, also while the call goes on."""
    calls = ctx.request.app[CALLS]
    call = await calls.get(ctx.tenant, ctx.path("call_id"))
    turns = [TurnObject.model_validate(turn, from_attributes=True) for turn in await calls.transcript(call)]
    return TranscriptAnswer(call_id=call.id, transcript=turns)


@router.add(
    "GET",
    "/call/{call_id}/recording",
    scope=Scope.CALLS_READ,
    content_type="audio/wav",
    errors=[errors.CallNotFoundError, errors.RecordingNotFoundError],
)
async def get_recording(ctx: Context[None]) -> web.FileResponse:
    """Download the recording: WAV, the other party left, the agent right; byte ranges are served."""
    call = await ctx.request.app[CALLS].get(ctx.tenant, ctx.path("call_id"))
    path = ctx.request.app[RECORDINGS].open_path(call.recording) if call.recording else None
    if path is None:
        raise errors.RecordingNotFoundError
    return web.FileResponse(path, headers={"Content-Type": "audio/wav", "Cache-Control": "private, no-store"})


@router.add(
    "GET",
    "/call/{call_id}/events",
    scope=Scope.CALLS_READ,
    by_stream_token=True,
    query=CallEventsQuery,
    content_type="text/event-stream",
    errors=[errors.CallNotFoundError, EventsExpiredError, TooManyStreamsError],
    invalid=unprocessable,
)
async def get_call_events(ctx: Context[None]) -> web.StreamResponse:
    """Follow a call live as Server-Sent Events; `Last-Event-ID` resumes, 204 says that nothing more will come."""
    query = ctx.query(CallEventsQuery, unprocessable)
    call = await ctx.request.app[CALLS].get(ctx.tenant, ctx.path("call_id"))
    given = ctx.request.headers.get("Last-Event-ID", "")
    after = int(given if given.isascii() and given.isdigit() and len(given) < 16 else query.cursor)
    events = ctx.request.app[EVENTS]
    if call.completed_at and await events.is_over(call.id, after):
        return web.Response(status=204)
    source = events.of_call(ctx.tenant, call.id)
    return await ctx.request.app[STREAMS].sse(ctx.request, source, after)
