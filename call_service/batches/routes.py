"""The endpoints about batches and the do-not-call list."""

from aiohttp import web

from call_service.batches import errors, schemas
from call_service.batches.domain import Batch
from call_service.batches.results import result_lines
from call_service.batches.schemas import BatchObject, CountedBatch, DoNotCallEntry
from call_service.batches.service import Batches
from call_service.calls.errors import (
    ActiveAgentNotSetError,
    AgentNotFoundError,
    NoPhoneNumberError,
    ProjectNotFoundError,
    ProviderKeyMissingError,
    TestsNotPassedError,
)
from call_service.projects import ProjectServiceUnavailableError
from shared.clock import rfc3339
from shared.endpoints import Context, Router, unprocessable, validate
from shared.errors import UnprocessableError
from shared.http_client import InvalidUrlError
from shared.pagination import InvalidCursorError, PageQuery
from shared.scopes import Scope

BATCHES = web.AppKey("batches", Batches)
MAX_UPLOAD_BYTES = 32 * 1024 * 1024

router = Router("Batches")


@router.add(
    "POST",
    "/call/batch-call",
    body=schemas.BatchForm,
    is_form=True,
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    max_body_bytes=MAX_UPLOAD_BYTES,
    answer=schemas.BatchAnswer,
    errors=[
        errors.FileRefusedError,
        InvalidUrlError,
        ProjectNotFoundError,
        AgentNotFoundError,
        ActiveAgentNotSetError,
        NoPhoneNumberError,
        ProviderKeyMissingError,
        TestsNotPassedError,
        errors.TooManyUploadsError,
        ProjectServiceUnavailableError,
    ],
)
async def batch_call(ctx: Context[schemas.BatchForm]) -> schemas.BatchAnswer:
    """Call everybody in a file."""
    batch, tally = await ctx.request.app[BATCHES].upload(ctx.tenant, ctx.body)
    rejected = [schemas.RejectedRow(row=row, number=number, reason=reason) for row, number, reason in tally.rejected]
    return schemas.BatchAnswer(
        batch=schemas.AcceptedBatch(
            id=batch.id,
            status=batch.status.value,
            total=batch.total,
            accepted=batch.accepted,
            rejected_count=batch.total - batch.accepted,
            rejected=rejected,
        )
    )


@router.add(
    "GET",
    "/batch",
    scope=Scope.CALLS_READ,
    query=PageQuery,
    answer=schemas.BatchPage,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def list_batches(ctx: Context[None]) -> schemas.BatchPage:
    """List your batches, newest first."""
    page, cursor = await ctx.request.app[BATCHES].page(ctx.tenant, ctx.query(PageQuery, unprocessable))
    return schemas.BatchPage(data=[BatchObject.of(batch) for batch in page], next_cursor=cursor)


@router.add("GET", "/batch/{batch_id}", scope=Scope.CALLS_READ, answer=CountedBatch, errors=[errors.BatchNotFoundError])
async def get_batch(ctx: Context[None]) -> CountedBatch:
    """Read a batch, with its contacts counted by state."""
    batch, batches = await _batch(ctx), ctx.request.app[BATCHES]
    decisions = [schemas.DecisionObject.of(decision) for decision in await batches.decisions(batch)]
    return CountedBatch.of(batch, counts=await batches.counts(batch), decisions=decisions)


@router.add(
    "GET",
    "/batch/{batch_id}/calls",
    scope=Scope.CALLS_READ,
    query=PageQuery,
    answer=schemas.ContactPage,
    errors=[errors.BatchNotFoundError, InvalidCursorError],
    invalid=unprocessable,
)
async def list_batch_calls(ctx: Context[None]) -> schemas.ContactPage:
    """List the contacts of a batch with their calls and the evidence of every decision."""
    query = ctx.query(PageQuery, unprocessable)
    page, cursor = await ctx.request.app[BATCHES].contacts(await _batch(ctx), query)
    return schemas.ContactPage(data=[schemas.ContactObject.of(*found) for found in page], next_cursor=cursor)


@router.add(
    "GET",
    "/batch/{batch_id}/result.csv",
    scope=Scope.CALLS_READ,
    content_type="text/csv",
    errors=[errors.BatchNotFoundError],
)
async def get_batch_result(ctx: Context[None]) -> web.StreamResponse:
    """Download what became of every row of the file."""
    batch = await _batch(ctx)
    headers = {
        "Content-Type": "text/csv; charset=utf-8",
        "Content-Disposition": f'attachment; filename="{batch.id}.csv"',
        "Cache-Control": "private, no-store",
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(ctx.request)
    async for lines in result_lines(ctx.request.app[BATCHES].db, batch):
        await response.write(lines)
    return response


@router.add(
    "POST",
    "/batch/{batch_id}/pause",
    scope=Scope.CALLS_WRITE,
    answer=BatchObject,
    errors=[errors.BatchNotFoundError, errors.BatchFinishedError],
)
async def pause_batch(ctx: Context[None]) -> BatchObject:
    """Pause a batch: after the answer no further call of it starts."""
    return BatchObject.of(await ctx.request.app[BATCHES].pause(ctx.tenant, ctx.path("batch_id")))


@router.add(
    "POST",
    "/batch/{batch_id}/resume",
    scope=Scope.CALLS_WRITE,
    body=schemas.ResumeRequest,
    invalid=unprocessable,
    answer=BatchObject,
    errors=[errors.BatchNotFoundError, errors.BatchFinishedError, errors.BatchBudgetSpentError],
)
async def resume_batch(ctx: Context[schemas.ResumeRequest]) -> BatchObject:
    """Let a paused batch go on."""
    batches = ctx.request.app[BATCHES]
    return BatchObject.of(await batches.resume(ctx.tenant, ctx.path("batch_id"), ctx.body.budget))


@router.add(
    "POST",
    "/batch/{batch_id}/cancel",
    scope=Scope.CALLS_WRITE,
    answer=BatchObject,
    errors=[errors.BatchNotFoundError, errors.BatchFinishedError],
)
async def cancel_batch(ctx: Context[None]) -> BatchObject:
    """Cancel a batch: after the answer no further call of it starts; live calls go on."""
    return BatchObject.of(await ctx.request.app[BATCHES].cancel(ctx.tenant, ctx.path("batch_id")))


async def _batch(ctx: Context[None]) -> Batch:
    return await ctx.request.app[BATCHES].get(ctx.tenant, ctx.path("batch_id"))


@router.add(
    "GET",
    "/do-not-call",
    scope=Scope.CALLS_READ,
    query=PageQuery,
    answer=schemas.DoNotCallPage,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def list_do_not_call(ctx: Context[None]) -> schemas.DoNotCallPage:
    """List the numbers on your do-not-call list."""
    page, cursor = await ctx.request.app[BATCHES].forbidden(ctx.tenant, ctx.query(PageQuery, unprocessable))
    data = [DoNotCallEntry(number=number, created_at=rfc3339(since)) for number, since in page]
    return schemas.DoNotCallPage(data=data, next_cursor=cursor)


@router.add(
    "GET",
    "/do-not-call/{number}",
    scope=Scope.CALLS_READ,
    answer=DoNotCallEntry,
    errors=[errors.NotOnDoNotCallError, UnprocessableError],
)
async def get_do_not_call(ctx: Context[None]) -> DoNotCallEntry:
    """Look a number up on your do-not-call list."""
    number = _number(ctx)
    since = await ctx.request.app[BATCHES].forbidden_since(ctx.tenant, number)
    if since is None:
        raise errors.NotOnDoNotCallError
    return DoNotCallEntry(number=number, created_at=rfc3339(since))


@router.add("PUT", "/do-not-call/{number}", scope=Scope.CALLS_WRITE, answer=DoNotCallEntry, errors=[UnprocessableError])
async def put_do_not_call(ctx: Context[None]) -> DoNotCallEntry:
    """Put a number on your do-not-call list: after the answer no call to it starts."""
    number = _number(ctx)
    return DoNotCallEntry(number=number, created_at=rfc3339(await ctx.request.app[BATCHES].forbid(ctx.tenant, number)))


@router.add(
    "DELETE",
    "/do-not-call/{number}",
    scope=Scope.CALLS_WRITE,
    status=204,
    errors=[errors.NotOnDoNotCallError, UnprocessableError],
)
async def delete_do_not_call(ctx: Context[None]) -> None:
    """Take a number off your do-not-call list."""
    if not await ctx.request.app[BATCHES].allow(ctx.tenant, _number(ctx)):
        raise errors.NotOnDoNotCallError


def _number(ctx: Context[None]) -> str:
    return validate(schemas.DoNotCallPath, {"number": ctx.path("number")}, unprocessable).number
