"""`/agent/{agentId}/test`: simulated callers test an agent."""

from aiohttp import web

from call_service.calls.errors import AgentNotFoundError, ProjectNotFoundError, ProviderKeyMissingError
from call_service.projects import ProjectServiceUnavailableError
from call_service.scenarios.errors import (
    AgentTestNotFoundError,
    NoAgentTestsError,
    ScenarioCheckersBusyError,
    TooManyTestsError,
)
from call_service.scenarios.schemas import AgentTestBody, AgentTestList, AgentTestObject, AgentTestSummary
from call_service.scenarios.service import AgentTests
from shared.endpoints import Context, Router, unprocessable
from shared.pagination import InvalidCursorError, PageQuery
from shared.scopes import Scope

router = Router("Agents")
AGENT_TESTS = web.AppKey("agent_tests", AgentTests)


@router.add(
    "POST",
    "/agent/{agentId}/test",
    scope=Scope.CALLS_WRITE,
    idempotent=True,
    status=202,
    body=AgentTestBody,
    answer=AgentTestObject,
    errors=[
        ProjectNotFoundError,
        AgentNotFoundError,
        ProviderKeyMissingError,
        TooManyTestsError,
        ScenarioCheckersBusyError,
        ProjectServiceUnavailableError,
    ],
    invalid=unprocessable,
)
async def test_agent(ctx: Context[AgentTestBody]) -> AgentTestObject:
    """Play scenarios with simulated callers against the agent's newest version."""
    return AgentTestObject.of(await ctx.request.app[AGENT_TESTS].start(ctx.tenant, ctx.path("agentId"), ctx.body))


@router.add(
    "GET",
    "/agent/{agentId}/test",
    scope=Scope.CALLS_READ,
    query=PageQuery,
    answer=AgentTestList,
    errors=[NoAgentTestsError, InvalidCursorError],
    invalid=unprocessable,
)
async def list_agent_tests(ctx: Context[None]) -> AgentTestList:
    """The tests of an agent, newest first."""
    query = ctx.query(PageQuery, unprocessable)
    found, cursor = await ctx.request.app[AGENT_TESTS].page(ctx.tenant, ctx.path("agentId"), query)
    return AgentTestList(data=[AgentTestSummary.of(test) for test in found], next_cursor=cursor)


@router.add(
    "GET",
    "/agent/{agentId}/test/{testId}",
    scope=Scope.CALLS_READ,
    answer=AgentTestObject,
    errors=[AgentTestNotFoundError],
)
async def get_agent_test(ctx: Context[None]) -> AgentTestObject:
    """What a test of an agent has found so far."""
    found = await ctx.request.app[AGENT_TESTS].get(ctx.tenant, ctx.path("agentId"), ctx.path("testId"))
    return AgentTestObject.of(found)
