"""What users do with tests of their agents."""

from dataclasses import dataclass

from call_service.projects import ProjectDirectory
from call_service.scenarios import repository
from call_service.scenarios.checking import Checker
from call_service.scenarios.domain import MAX_OPEN, AgentTest
from call_service.scenarios.errors import AgentTestNotFoundError, NoAgentTestsError, TooManyTestsError
from call_service.scenarios.schemas import AgentTestBody
from shared.db import Database, Tx
from shared.ids import new_id
from shared.pagination import Cursors, PageQuery, page_of


@dataclass(frozen=True, slots=True)
class AgentTests:
    """Tests of the agents that `projects` knows."""

    db: Database
    projects: ProjectDirectory
    cursors: Cursors
    checker: Checker

    async def start(self, tenant: str, agent_id: str, body: AgentTestBody) -> AgentTest:
        """Ask workers to play scenarios against the agent's newest version, as it is now.

        Raises:
            ProjectNotFoundError, AgentNotFoundError, ProviderKeyMissingError, ProjectServiceUnavailableError
            TooManyTestsError, ScenarioCheckersBusyError
            UnprocessableError: these scenarios can't be played.
        """
        scenarios = await self.checker.played(tenant, body.unchecked)
        prepared = await self.projects.prepare(tenant, body.project_id, agent_id, is_test=True)
        test_id = new_id()
        async with self.db.transaction() as tx:
            if await repository.count_open(tx, tenant) >= MAX_OPEN:
                raise TooManyTestsError
            await repository.insert(
                tx,
                test_id,
                tenant=tenant,
                project_id=prepared.project_id,
                agent=dict(prepared.agent),
                scenarios=scenarios,
            )
            return await self._found(tx, tenant, agent_id, test_id)

    async def get(self, tenant: str, agent_id: str, test_id: str) -> AgentTest:
        """Raises AgentTestNotFoundError."""
        return await self._found(self.db, tenant, agent_id, test_id)

    async def page(self, tenant: str, agent_id: str, query: PageQuery) -> tuple[list[AgentTest], str | None]:
        """A page, newest first, and the cursor of the next one. Raises NoAgentTestsError."""
        before = query.position(self.cursors)
        found = await repository.page(self.db, tenant, agent_id, before, query.limit_and_one)
        if not found and before is None:
            raise NoAgentTestsError
        return page_of(found, query, self.cursors, lambda test: test.id)

    @staticmethod
    async def _found(connection: Tx | Database, tenant: str, agent_id: str, test_id: str) -> AgentTest:
        test = await repository.find(connection, tenant, agent_id, test_id)
        if test is None:
            raise AgentTestNotFoundError
        return test
