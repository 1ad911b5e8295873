"""`/phone-number/*`."""

from aiohttp import web

from project_service.errors import AgentNotFoundError, ProjectNotFoundError
from project_service.phone_numbers.errors import PhoneNumberNotFoundError, PhoneNumberTakenError
from project_service.phone_numbers.schemas import (
    AddNumber,
    GetPhoneNumber,
    ListNumbersQuery,
    NumberAssigned,
    NumberFetched,
    NumberList,
    PhoneNumber,
    UnassignNumber,
)
from project_service.phone_numbers.service import PhoneNumbers
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError
from shared.scopes import Scope

router = Router("Phone numbers")
PHONE_NUMBERS = web.AppKey("phone_numbers", PhoneNumbers)


@router.add(
    "POST",
    "/phone-number",
    scope=Scope.PROJECTS_READ,
    body=GetPhoneNumber,
    answer=NumberFetched,
    errors=[PhoneNumberNotFoundError],
)
async def get_phone_number(ctx: Context[GetPhoneNumber]) -> NumberFetched:
    """A phone number by its id, its agent or its project."""
    return NumberFetched(data=await ctx.request.app[PHONE_NUMBERS].get(ctx.tenant, ctx.body))


@router.add(
    "POST",
    "/phone-number/add-number",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    body=AddNumber,
    answer=NumberAssigned,
    errors=[ProjectNotFoundError, AgentNotFoundError, PhoneNumberTakenError],
)
async def add_phone_number(ctx: Context[AddNumber]) -> NumberAssigned:
    """Give an agent a phone number to call from."""
    return NumberAssigned(data=await ctx.request.app[PHONE_NUMBERS].add(ctx.tenant, ctx.body))


@router.add(
    "GET",
    "/phone-number",
    scope=Scope.PROJECTS_READ,
    query=ListNumbersQuery,
    answer=NumberList,
    errors=[InvalidCursorError],
    invalid=unprocessable,
)
async def list_phone_numbers(ctx: Context[None]) -> NumberList:
    """Your phone numbers, newest first."""
    query = ctx.query(ListNumbersQuery, unprocessable)
    found, cursor = await ctx.request.app[PHONE_NUMBERS].page(ctx.tenant, query)
    return NumberList(data=found, next_cursor=cursor)


@router.add(
    "DELETE", "/phone-number/{phoneNumberId}", scope=Scope.PROJECTS_WRITE, status=204, errors=[PhoneNumberNotFoundError]
)
async def release_phone_number(ctx: Context[None]) -> None:
    """Give a phone number up; anybody may add it from now on."""
    await ctx.request.app[PHONE_NUMBERS].release(ctx.tenant, ctx.path("phoneNumberId"))


@router.add(
    "POST",
    "/phone-number/unassign",
    scope=Scope.PROJECTS_WRITE,
    body=UnassignNumber,
    answer=PhoneNumber,
    errors=[PhoneNumberNotFoundError],
    invalid=unprocessable,
)
async def unassign_phone_number(ctx: Context[UnassignNumber]) -> PhoneNumber:
    """Take a phone number from its agent; it stays with the project."""
    return await ctx.request.app[PHONE_NUMBERS].unassign(ctx.tenant, ctx.body.phone_number_id)
