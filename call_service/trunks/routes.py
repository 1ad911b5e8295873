"""`/trunk`: SIP trunks and tests of them."""

from aiohttp import web

from call_service.calls.errors import OnDoNotCallListError
from call_service.trunks import errors
from call_service.trunks.schemas import (
    RefusalList,
    RefusalObject,
    TestBody,
    TestObject,
    TrunkBody,
    TrunkList,
    TrunkObject,
)
from call_service.trunks.service import Trunks
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError, PageQuery
from shared.scopes import Scope

router = Router("Trunks")
TRUNKS = web.AppKey("trunks", Trunks)

_REFUSED = (
    errors.InvalidHostError,
    errors.TrunkNameTakenError,
    errors.TrunkUsernameTakenError,
    errors.NumberOfOtherTrunkError,
)


@router.add(
    "POST",
    "/trunk",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=201,
    body=TrunkBody,
    answer=TrunkObject,
    errors=[errors.TooManyTrunksError, *_REFUSED],
    invalid=unprocessable,
)
async def create_trunk(ctx: Context[TrunkBody]) -> TrunkObject:
    """Connect a SIP trunk."""
    return await ctx.request.app[TRUNKS].create(ctx.tenant, ctx.body)


@router.add(
    "GET",
    "/trunk",
    scope=Scope.CALLS_READ,
    query=PageQuery,
    answer=TrunkList,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def list_trunks(ctx: Context[None]) -> TrunkList:
    """The trunks, newest first, and how they do."""
    found, cursor = await ctx.request.app[TRUNKS].page(ctx.tenant, ctx.query(PageQuery, unprocessable))
    return TrunkList(data=found, next_cursor=cursor)


@router.add("GET", "/trunk/{trunk_id}", scope=Scope.CALLS_READ, answer=TrunkObject, errors=[errors.TrunkNotFoundError])
async def get_trunk(ctx: Context[None]) -> TrunkObject:
    """A trunk and how it does: registration, reachability, last error and calls, by worker."""
    return await ctx.request.app[TRUNKS].get(ctx.tenant, ctx.path("trunk_id"))


@router.add(
    "PUT",
    "/trunk/{trunk_id}",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    body=TrunkBody,
    answer=TrunkObject,
    errors=[errors.TrunkNotFoundError, *_REFUSED],
    invalid=unprocessable,
)
async def replace_trunk(ctx: Context[TrunkBody]) -> TrunkObject:
    """Change a trunk; live calls go on as they are."""
    return await ctx.request.app[TRUNKS].replace(ctx.tenant, ctx.path("trunk_id"), ctx.body)


@router.add(
    "DELETE",
    "/trunk/{trunk_id}",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=204,
    errors=[errors.TrunkNotFoundError, errors.TrunkInUseError],
)
async def delete_trunk(ctx: Context[None]) -> None:
    """Disconnect a trunk; live calls go on to their end."""
    await ctx.request.app[TRUNKS].delete(ctx.tenant, ctx.path("trunk_id"))


@router.add(
    "GET",
    "/trunk/{trunk_id}/refusals",
    scope=Scope.CALLS_READ,
    answer=RefusalList,
    errors=[errors.TrunkNotFoundError],
)
async def list_refusals(ctx: Context[None]) -> RefusalList:
    """The last 50 calls that came in by a trunk and were refused, of the last seven days, with their SIP messages."""
    found = await ctx.request.app[TRUNKS].refusals(ctx.tenant, ctx.path("trunk_id"))
    return RefusalList(data=[RefusalObject.of(refusal) for refusal in found])


@router.add(
    "POST",
    "/trunk/{trunk_id}/test",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=202,
    body=TestBody,
    answer=TestObject,
    errors=[
        errors.TrunkNotFoundError,
        errors.TrunkTestRunningError,
        errors.CallerUnknownError,
        OnDoNotCallListError,
    ],
    invalid=unprocessable,
)
async def test_trunk(ctx: Context[TestBody]) -> TestObject:
    """Test a trunk: name, connection, certificate, account, OPTIONS and, with a number, a short call."""
    return TestObject.of(await ctx.request.app[TRUNKS].start_test(ctx.tenant, ctx.path("trunk_id"), ctx.body))


@router.add(
    "GET",
    "/trunk/{trunk_id}/test/{test_id}",
    scope=Scope.CALLS_READ,
    answer=TestObject,
    errors=[errors.TrunkTestNotFoundError],
)
async def get_trunk_test(ctx: Context[None]) -> TestObject:
    """What a test has found so far, step by step."""
    found = await ctx.request.app[TRUNKS].test(ctx.tenant, ctx.path("trunk_id"), ctx.path("test_id"))
    return TestObject.of(found)
