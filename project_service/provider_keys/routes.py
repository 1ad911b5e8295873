"""`/project/{projectId}/provider-keys`, and what workers ask before a call."""

from aiohttp import web

from project_service.errors import ProjectNotFoundError
from project_service.provider_keys.errors import ProviderKeyNotFoundError, ProviderNotFoundError
from project_service.provider_keys.schemas import KeyTest, OpenedKeys, ProviderKey, ProviderKeyList, SetProviderKey
from project_service.provider_keys.service import ProviderKeys
from shared.endpoints import Context, Router, unprocessable
from shared.scopes import Scope

router = Router("Provider keys")
PROVIDER_KEYS = web.AppKey("provider_keys", ProviderKeys)
_PATH = "/project/{projectId}/provider-keys/{provider}"
_ERRORS = [ProjectNotFoundError, ProviderNotFoundError, ProviderKeyNotFoundError]


@router.add(
    "PUT",
    _PATH,
    scope=Scope.PROJECTS_WRITE,
    body=SetProviderKey,
    answer=ProviderKey,
    errors=[ProjectNotFoundError, ProviderNotFoundError],
    invalid=unprocessable,
)
async def set_provider_key(ctx: Context[SetProviderKey]) -> ProviderKey:
    """Set the project's key for a vendor; it is encrypted, and never shown again."""
    keys = ctx.request.app[PROVIDER_KEYS]
    return await keys.put(ctx.tenant, ctx.path("projectId"), ctx.path("provider"), ctx.body)


@router.add(
    "GET",
    "/project/{projectId}/provider-keys",
    scope=Scope.PROJECTS_READ,
    answer=ProviderKeyList,
    errors=[ProjectNotFoundError],
)
async def list_provider_keys(ctx: Context[None]) -> ProviderKeyList:
    """For which vendors the project has keys."""
    found = await ctx.request.app[PROVIDER_KEYS].of_project(ctx.tenant, ctx.path("projectId"))
    return ProviderKeyList(data=found)


@router.add("GET", _PATH, scope=Scope.PROJECTS_READ, answer=ProviderKey, errors=_ERRORS)
async def get_provider_key(ctx: Context[None]) -> ProviderKey:
    """The last four characters of a key, and when it was set."""
    return await ctx.request.app[PROVIDER_KEYS].get(ctx.tenant, ctx.path("projectId"), ctx.path("provider"))


@router.add("DELETE", _PATH, scope=Scope.PROJECTS_WRITE, status=204, errors=_ERRORS)
async def delete_provider_key(ctx: Context[None]) -> None:
    """Forget a key; calls of agents that need it are refused from then on."""
    await ctx.request.app[PROVIDER_KEYS].delete(ctx.tenant, ctx.path("projectId"), ctx.path("provider"))


@router.add("POST", f"{_PATH}/test", scope=Scope.PROJECTS_WRITE, answer=KeyTest, errors=_ERRORS)
async def test_provider_key(ctx: Context[None]) -> KeyTest:
    """Ask the vendor whether it takes the key; this costs nothing."""
    return await ctx.request.app[PROVIDER_KEYS].test(ctx.tenant, ctx.path("projectId"), ctx.path("provider"))


@router.add("GET", "/internal/projects/{projectId}/provider-keys", auth="internal", answer=OpenedKeys)
async def open_provider_keys(ctx: Context[None]) -> OpenedKeys:
    """The project's keys, for a worker that begins a call."""
    return OpenedKeys(keys=await ctx.request.app[PROVIDER_KEYS].open(ctx.tenant, ctx.path("projectId")))
