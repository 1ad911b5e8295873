"""`/project/*`, and what our other services ask about projects."""

from aiohttp import web

from project_service.agents.errors import TestsNotPassedError
from project_service.errors import AgentNotFoundError, ProjectNotFoundError
from project_service.projects.errors import (
    ActiveAgentNotSetError,
    AgentNotActiveError,
    ProjectNameTakenError,
    ProjectNotEmptyError,
    UnknownProjectError,
)
from project_service.projects.schemas import (
    ActiveAgent,
    ActiveAgentRemoved,
    ActiveAgentSet,
    AddWebhookUrl,
    CreateProject,
    DeleteProject,
    ListQuery,
    Project,
    ProjectAnswer,
    ProjectCreated,
    ProjectDeleted,
    ProjectList,
    ProjectReference,
    ProjectUpdated,
    SetActiveAgent,
    UpdateProject,
    WebhookAdded,
)
from project_service.projects.service import Projects
from shared.endpoints import Context, Router
from shared.http_client import InvalidUrlError
from shared.pagination import InvalidCursorError
from shared.scopes import Scope

router = Router("Projects")
PROJECTS = web.AppKey("projects", Projects)


@router.add(
    "POST",
    "/project/create-project",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    body=CreateProject,
    answer=ProjectCreated,
    errors=[ProjectNameTakenError, InvalidUrlError],
)
async def create_project(ctx: Context[CreateProject]) -> ProjectCreated:
    """Create a project."""
    return ProjectCreated(data=await ctx.request.app[PROJECTS].create(ctx.tenant, ctx.body))


@router.add(
    "GET", "/project", scope=Scope.PROJECTS_READ, query=ListQuery, answer=ProjectList, errors=[InvalidCursorError]
)
async def list_projects(ctx: Context[None]) -> ProjectList:
    """Your projects, newest first."""
    found, cursor = await ctx.request.app[PROJECTS].page(ctx.tenant, ctx.query(ListQuery))
    return ProjectList(data=found, next_cursor=cursor)


@router.add(
    "GET", "/project/{projectId}", scope=Scope.PROJECTS_READ, answer=ProjectAnswer, errors=[UnknownProjectError]
)
async def get_project(ctx: Context[None]) -> ProjectAnswer:
    """One project."""
    try:
        return ProjectAnswer(data=await ctx.request.app[PROJECTS].get(ctx.tenant, ctx.path("projectId")))
    except ProjectNotFoundError:
        raise UnknownProjectError from None


@router.add(
    "PUT",
    "/project/{projectId}",
    scope=Scope.PROJECTS_WRITE,
    body=UpdateProject,
    answer=ProjectUpdated,
    errors=[ProjectNotFoundError, ProjectNameTakenError, InvalidUrlError],
)
async def update_project(ctx: Context[UpdateProject]) -> ProjectUpdated:
    """Change a project's name, description and webhook."""
    return ProjectUpdated(data=await ctx.request.app[PROJECTS].update(ctx.tenant, ctx.path("projectId"), ctx.body))


@router.add(
    "DELETE",
    "/project/{projectId}",
    scope=Scope.PROJECTS_WRITE,
    body=DeleteProject,
    answer=ProjectDeleted,
    errors=[ProjectNotFoundError, ProjectNotEmptyError],
)
async def delete_project(ctx: Context[DeleteProject]) -> ProjectDeleted:
    """Delete a project; it takes no more calls from this moment on."""
    await ctx.request.app[PROJECTS].delete(ctx.tenant, ctx.path("projectId"), cascade=ctx.body.cascade)
    return ProjectDeleted()


@router.add(
    "POST",
    "/project/call-status/add-webhookurl",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    body=AddWebhookUrl,
    answer=WebhookAdded,
    errors=[ProjectNotFoundError, InvalidUrlError],
)
async def add_webhook_url(ctx: Context[AddWebhookUrl]) -> WebhookAdded:
    """Register where the events of a project's calls go.

    The answer holds the signing secret once: the first time this endpoint is called for the project, also when the URL
    itself was set before by creating or updating the project.
    """
    secret = await ctx.request.app[PROJECTS].add_webhook(ctx.tenant, ctx.body.project_id, ctx.body.webhook_url)
    return WebhookAdded(signing_secret=secret)


@router.add(
    "POST",
    "/project/active-agent",
    scope=Scope.PROJECTS_READ,
    body=ProjectReference,
    answer=ActiveAgent,
    errors=[ProjectNotFoundError, ActiveAgentNotSetError],
)
async def get_active_agent(ctx: Context[ProjectReference]) -> ActiveAgent:
    """The id of the agent that talks when a call names none."""
    return ActiveAgent(active_agent=await ctx.request.app[PROJECTS].active_agent(ctx.tenant, ctx.body.project_id))


@router.add(
    "PATCH",
    "/project/active-agent",
    scope=Scope.PROJECTS_WRITE,
    body=SetActiveAgent,
    answer=ActiveAgentSet,
    errors=[ProjectNotFoundError, AgentNotFoundError, TestsNotPassedError],
)
async def set_active_agent(ctx: Context[SetActiveAgent]) -> ActiveAgentSet:
    """Choose the agent that talks when a call names none."""
    project = await ctx.request.app[PROJECTS].set_active_agent(ctx.tenant, ctx.body.project_id, ctx.body.active_agent)
    return ActiveAgentSet(project=project)


@router.add(
    "PATCH",
    "/project/active-agent/{agentId}",
    scope=Scope.PROJECTS_WRITE,
    answer=ActiveAgentRemoved,
    errors=[AgentNotActiveError],
)
async def remove_active_agent(ctx: Context[None]) -> ActiveAgentRemoved:
    """Leave the project without an active agent."""
    await ctx.request.app[PROJECTS].remove_active_agent(ctx.tenant, ctx.path("agentId"))
    return ActiveAgentRemoved()


@router.add("GET", "/internal/projects/{projectId}", auth="internal", answer=Project, errors=[ProjectNotFoundError])
async def get_project_internally(ctx: Context[None]) -> Project:
    """The project, for services that only need to know that it exists and is the user's."""
    return await ctx.request.app[PROJECTS].get(ctx.tenant, ctx.path("projectId"))
