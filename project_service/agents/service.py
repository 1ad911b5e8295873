"""What users do with their agents, and what a call needs of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from project_service.agents import events, repository
from project_service.agents.errors import NoAgentsError, TestsNotPassedError
from project_service.agents.schemas import (
    Agent,
    AgentVersion,
    CalledAgent,
    CreateAgent,
    PrepareCall,
    PreparedCall,
    UpdateAgent,
)
from project_service.agents.settings import AgentSettings
from project_service.agents.tool_targets import check_numbers, check_urls
from project_service.documents import repository as documents
from project_service.errors import AgentNotFoundError, ProjectNotFoundError
from project_service.phone_numbers import events as number_events
from project_service.phone_numbers import repository as numbers
from project_service.phone_numbers.errors import PhoneNumberNotFoundError
from project_service.phone_numbers.service import assign
from project_service.projects import events as project_events
from project_service.projects import repository as projects
from project_service.projects.errors import ActiveAgentNotSetError
from project_service.provider_keys import repository as provider_keys
from project_service.provider_keys.errors import ProviderKeyMissingError
from shared.db import Database, Tx
from shared.endpoints import validate
from shared.ids import new_id
from shared.pagination import Cursors, PageQuery, page_of

_CONTENT = ("name", "system_instruction", "voice_id")


def _settings(model: AgentSettings) -> dict[str, Any]:
    return {name: getattr(model, name) for name in AgentSettings.model_fields}


def changed(agent: Agent, change: UpdateAgent) -> dict[str, Any]:
    """The content of the next version: what `change` gives, and the rest as it is.

    Raises:
        InvalidRequestError: the rest breaks a rule that is younger than it, and has to be given too.
    """
    given = {name: getattr(change, name) for name in change.model_fields_set}
    content = {name: given.get(name) or getattr(agent, name) for name in _CONTENT}
    settings = {**_settings(agent), **{name: given[name] for name in AgentSettings.model_fields.keys() & given}}
    return {**content, "settings": validate(AgentSettings, settings)}


@dataclass(frozen=True, slots=True)
class Agents:
    """A user's agents. Every change of what an agent says or does makes a new version."""

    db: Database
    cursors: Cursors
    tool_allow_private: bool

    async def create(self, tenant: str, wanted: CreateAgent) -> Agent:
        """Raises ProjectNotFoundError, PhoneNumberTakenError, InvalidRequestError."""
        agent_id = new_id()
        content = {name: getattr(wanted, name) for name in _CONTENT}
        settings = AgentSettings.model_validate(_settings(wanted))
        check_numbers(settings)
        await check_urls(settings.tools, allow_private=self.tool_allow_private)
        async with self.db.transaction() as tx:
            await self._lock_project(tx, tenant, wanted.project_id)
            await repository.insert(tx, tenant, wanted.project_id, agent_id)
            await repository.add_version(tx, tenant, agent_id, 1, **content, settings=settings)
            if wanted.phone_number is not None:
                await assign(tx, tenant, wanted.project_id, agent_id, wanted.phone_number)
            return await self._published(tx, events.CREATED, tenant, wanted.project_id, agent_id)

    async def get(self, tenant: str, project_id: str, agent_id: str) -> Agent:
        """Raises AgentNotFoundError."""
        agent = await repository.find(self.db, tenant, project_id, agent_id)
        if agent is None:
            raise AgentNotFoundError
        return agent

    async def of_project(self, tenant: str, project_id: str) -> list[Agent]:
        """Raises ProjectNotFoundError, NoAgentsError."""
        if await projects.find(self.db, tenant, project_id) is None:
            raise ProjectNotFoundError
        found = await repository.of_project(self.db, tenant, project_id)
        if not found:
            raise NoAgentsError
        return found

    async def update(self, tenant: str, change: UpdateAgent) -> Agent:
        """Raises ProjectNotFoundError, AgentNotFoundError, PhoneNumberTakenError, InvalidRequestError."""
        await check_urls(change.tools, allow_private=self.tool_allow_private)
        async with self.db.transaction() as tx:
            await self._lock_project(tx, tenant, change.project_id)
            agent = await repository.lock(tx, tenant, change.project_id, change.agent_id)
            if agent is None:
                raise AgentNotFoundError
            content = changed(agent, change)
            check_numbers(content["settings"])
            await repository.add_version(tx, tenant, agent.id, agent.version + 1, **content)
            await repository.touch(tx, tenant, agent.id)
            if change.phone_number is not None:
                await assign(tx, tenant, agent.project_id, agent.id, change.phone_number)
            return await self._published(tx, events.UPDATED, tenant, agent.project_id, agent.id)

    async def delete(self, tenant: str, project_id: str, agent_id: str) -> None:
        """Its numbers stay with the project. Raises ProjectNotFoundError, AgentNotFoundError."""
        async with self.db.transaction() as tx:
            await self._lock_project(tx, tenant, project_id, exclusively=True)
            agent = await repository.lock(tx, tenant, project_id, agent_id)
            if agent is None:
                raise AgentNotFoundError
            was_active = await projects.clear_active_agent(tx, tenant, agent_id)
            for number in await numbers.unassign_of_agent(tx, tenant, agent_id):
                await number_events.publish(tx, number_events.UNASSIGNED, tenant, number)
            await repository.mark_deleted(tx, tenant, agent_id)
            await documents.delete_all(tx, tenant, agent_id)
            await events.publish(tx, events.DELETED, tenant, agent)
            if project := await projects.find(tx, tenant, was_active or ""):
                await project_events.publish(tx, project_events.UPDATED, project)

    async def versions(self, tenant: str, agent_id: str, query: PageQuery) -> tuple[list[AgentVersion], str | None]:
        """A page, newest first, and the cursor of the next one. Raises AgentNotFoundError."""
        before = query.position(self.cursors)
        found = await repository.versions(
            self.db, tenant, agent_id, int(before) if before else None, query.limit_and_one
        )
        if not found:
            raise AgentNotFoundError
        return page_of(found, query, self.cursors, lambda version: str(version.version))

    async def prepare_call(self, tenant: str, wanted: PrepareCall) -> PreparedCall:
        """The agent that talks and the number it calls from: its own, else one of the project's, else none.

        Raises:
            ProjectNotFoundError, AgentNotFoundError, ActiveAgentNotSetError
            TestsNotPassedError: no version of the agent may be used.
            ProviderKeyMissingError: the call could not be spoken as the agent wants it.
        """
        project = await projects.find(self.db, tenant, wanted.project_id)
        if project is None:
            raise ProjectNotFoundError
        agent_id = wanted.agent_id or project.active_agent
        if agent_id is None:
            raise ActiveAgentNotSetError
        newest = await self.get(tenant, project.id, agent_id)
        agent = newest if wanted.is_test else await repository.find_callable(self.db, tenant, project.id, agent_id)
        if agent is None:
            raise TestsNotPassedError
        await self._require_keys(tenant, agent)
        others = [] if agent.phone_number else await numbers.of_project(self.db, tenant, project.id)
        from_number = agent.phone_number or next((number.e164 for number in others), None)
        return PreparedCall(project=project, agent=agent, from_number=from_number)

    async def _require_keys(self, tenant: str, agent: Agent) -> None:
        if names := agent.providers.names():
            known = {key.provider for key in await provider_keys.of_project(self.db, tenant, agent.project_id)}
            if missing := sorted(names - known):
                raise ProviderKeyMissingError(missing)

    async def called(self, tenants: Sequence[str], e164: str) -> CalledAgent:
        """Who answers this number. Raises PhoneNumberNotFoundError when it is none of these users'."""
        found = await numbers.called(self.db, tenants, e164)
        if found is None:
            raise PhoneNumberNotFoundError
        tenant, number = found
        agent = number.agent_id and await repository.find_callable(self.db, tenant, number.project_id, number.agent_id)
        return CalledAgent(tenant=tenant, project_id=number.project_id, agent=agent or None)

    @staticmethod
    async def _lock_project(tx: Tx, tenant: str, project_id: str, *, exclusively: bool = False) -> None:
        if not await projects.lock(tx, tenant, project_id, exclusively=exclusively):
            raise ProjectNotFoundError

    @staticmethod
    async def _published(tx: Tx, type_: str, tenant: str, project_id: str, agent_id: str) -> Agent:
        agent = await repository.find(tx, tenant, project_id, agent_id)
        assert agent is not None
        await events.publish(tx, type_, tenant, agent)
        return agent
