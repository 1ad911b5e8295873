"""`/agent/*`, and what call_service asks before a call."""

from aiohttp import web

from project_service.agents.errors import NoAgentsError, TestsNotPassedError
from project_service.agents.schemas import (
    Agent,
    AgentCreated,
    AgentDeleted,
    AgentReference,
    AgentUpdated,
    CalledAgent,
    CalledNumber,
    CreateAgent,
    PrepareCall,
    PreparedCall,
    UpdateAgent,
    VersionList,
)
from project_service.agents.service import Agents
from project_service.errors import AgentNotFoundError, ProjectNotFoundError
from project_service.phone_numbers.errors import PhoneNumberNotFoundError, PhoneNumberTakenError
from project_service.projects.errors import ActiveAgentNotSetError
from project_service.provider_keys.errors import ProviderKeyMissingError
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError, PageQuery
from shared.scopes import Scope

router = Router("Agents")
AGENTS = web.AppKey("agents", Agents)


@router.add(
    "POST",
    "/agent/create-agent",
    scope=Scope.PROJECTS_WRITE,
    idempotent=True,
    body=CreateAgent,
    answer=AgentCreated,
    errors=[ProjectNotFoundError, PhoneNumberTakenError],
)
async def create_agent(ctx: Context[CreateAgent]) -> AgentCreated:
    """Create an agent in a project."""
    return AgentCreated(data=await ctx.request.app[AGENTS].create(ctx.tenant, ctx.body))


@router.add("POST", "/agent", scope=Scope.PROJECTS_READ, body=AgentReference, answer=Agent, errors=[AgentNotFoundError])
async def get_agent(ctx: Context[AgentReference]) -> Agent:
    """One agent."""
    return await ctx.request.app[AGENTS].get(ctx.tenant, ctx.body.project_id, ctx.body.agent_id)


@router.add(
    "PUT",
    "/agent",
    scope=Scope.PROJECTS_WRITE,
    body=UpdateAgent,
    answer=AgentUpdated,
    errors=[ProjectNotFoundError, AgentNotFoundError, PhoneNumberTakenError],
)
async def update_agent(ctx: Context[UpdateAgent]) -> AgentUpdated:
    """Change an agent; calls that have begun keep the version they run with."""
    return AgentUpdated(data=await ctx.request.app[AGENTS].update(ctx.tenant, ctx.body))


@router.add(
    "DELETE",
    "/agent",
    scope=Scope.PROJECTS_WRITE,
    body=AgentReference,
    answer=AgentDeleted,
    errors=[ProjectNotFoundError, AgentNotFoundError],
)
async def delete_agent(ctx: Context[AgentReference]) -> AgentDeleted:
    """Delete an agent; its phone numbers stay with the project."""
    await ctx.request.app[AGENTS].delete(ctx.tenant, ctx.body.project_id, ctx.body.agent_id)
    return AgentDeleted()


@router.add(
    "GET",
    "/agent/{projectId}",
    scope=Scope.PROJECTS_READ,
    answer=Agent,
    is_list=True,
    errors=[ProjectNotFoundError, NoAgentsError],
)
async def list_agents(ctx: Context[None]) -> list[Agent]:
    """The agents of a project, oldest first."""
    return await ctx.request.app[AGENTS].of_project(ctx.tenant, ctx.path("projectId"))


@router.add(
    "GET",
    "/agent/{agentId}/versions",
    scope=Scope.PROJECTS_READ,
    query=PageQuery,
    answer=VersionList,
    errors=[AgentNotFoundError, InvalidCursorError],
    invalid=unprocessable,
)
async def list_agent_versions(ctx: Context[None]) -> VersionList:
    """The versions of an agent, newest first."""
    query = ctx.query(PageQuery, unprocessable)
    found, cursor = await ctx.request.app[AGENTS].versions(ctx.tenant, ctx.path("agentId"), query)
    return VersionList(data=found, next_cursor=cursor)


@router.add(
    "POST",
    "/internal/calls/prepare",
    auth="internal",
    body=PrepareCall,
    answer=PreparedCall,
    errors=[
        ProjectNotFoundError,
        AgentNotFoundError,
        ActiveAgentNotSetError,
        ProviderKeyMissingError,
        TestsNotPassedError,
    ],
)
async def prepare_call(ctx: Context[PrepareCall]) -> PreparedCall:
    """Project, agent and number to call from, for call_service."""
    return await ctx.request.app[AGENTS].prepare_call(ctx.tenant, ctx.body)


@router.add(
    "POST",
    "/internal/calls/answer",
    auth="internal",
    body=CalledNumber,
    answer=CalledAgent,
    errors=[PhoneNumberNotFoundError],
)
async def answer_call(ctx: Context[CalledNumber]) -> CalledAgent:
    """Project and agent of a number that is called, for call_service."""
    return await ctx.request.app[AGENTS].called(list(map(str, ctx.body.tenants)), ctx.body.e164)
