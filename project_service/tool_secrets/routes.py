"""`/project/{projectId}/tool-secrets`, and what workers ask when a tool needs one."""

from aiohttp import web

from project_service.errors import ProjectNotFoundError
from project_service.tool_secrets.errors import SecretNameError, SecretNotFoundError, TooManySecretsError
from project_service.tool_secrets.schemas import OpenedSecrets, SecretList, SetSecret, ToolSecret
from project_service.tool_secrets.service import ToolSecrets
from shared.endpoints import Context, Router, unprocessable
from shared.scopes import Scope

router = Router("Tool secrets")
TOOL_SECRETS = web.AppKey("tool_secrets", ToolSecrets)
_PATH = "/project/{projectId}/tool-secrets"


@router.add(
    "PUT",
    f"{_PATH}/{{name}}",
    scope=Scope.PROJECTS_WRITE,
    body=SetSecret,
    answer=ToolSecret,
    errors=[ProjectNotFoundError, SecretNameError, TooManySecretsError],
    invalid=unprocessable,
)
async def set_tool_secret(ctx: Context[SetSecret]) -> ToolSecret:
    """Set a secret for headers of tools; it is encrypted, and never shown again."""
    secrets = ctx.request.app[TOOL_SECRETS]
    return await secrets.put(ctx.tenant, ctx.path("projectId"), ctx.path("name"), ctx.body)


@router.add("GET", _PATH, scope=Scope.PROJECTS_READ, answer=SecretList, errors=[ProjectNotFoundError])
async def list_tool_secrets(ctx: Context[None]) -> SecretList:
    """Which secrets the project has."""
    return SecretList(data=await ctx.request.app[TOOL_SECRETS].of_project(ctx.tenant, ctx.path("projectId")))


@router.add(
    "DELETE",
    f"{_PATH}/{{name}}",
    scope=Scope.PROJECTS_WRITE,
    status=204,
    errors=[ProjectNotFoundError, SecretNotFoundError],
)
async def delete_tool_secret(ctx: Context[None]) -> None:
    """Forget a secret; tools that name it fail from then on."""
    await ctx.request.app[TOOL_SECRETS].delete(ctx.tenant, ctx.path("projectId"), ctx.path("name"))


@router.add("GET", "/internal/projects/{projectId}/tool-secrets", auth="internal", answer=OpenedSecrets)
async def open_tool_secrets(ctx: Context[None]) -> OpenedSecrets:
    """The project's secrets, for a worker whose tool names one."""
    return OpenedSecrets(secrets=await ctx.request.app[TOOL_SECRETS].open(ctx.tenant, ctx.path("projectId")))
