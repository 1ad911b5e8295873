"""What users do with their projects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from project_service.agents import events as agent_events
from project_service.agents import repository as agents
from project_service.agents.errors import TestsNotPassedError
from project_service.documents import repository as documents
from project_service.errors import AgentNotFoundError, ProjectNotFoundError
from project_service.phone_numbers import events as number_events
from project_service.phone_numbers import repository as numbers
from project_service.projects import events, repository
from project_service.projects.errors import ActiveAgentNotSetError, AgentNotActiveError, ProjectNotEmptyError
from project_service.projects.schemas import CreateProject, ListQuery, Project, UpdateProject
from project_service.provider_keys import repository as provider_keys
from project_service.tool_secrets import repository as tool_secrets
from project_service.webhooks.service import Webhooks
from shared.db import Database, Tx
from shared.ids import new_id
from shared.pagination import Cursors, page_of


@dataclass(frozen=True, slots=True)
class Projects:
    """A user's projects; `webhooks` registers their URLs."""

    db: Database
    webhooks: Webhooks
    cursors: Cursors

    async def create(self, tenant: str, wanted: CreateProject) -> Project:
        """Raises ProjectNameTakenError, InvalidUrlError."""
        if wanted.webhook_url is not None:
            await self.webhooks.check(wanted.webhook_url, "webhookUrl")
        project_id = new_id()
        async with self.db.transaction() as tx:
            await repository.insert(tx, tenant, project_id, wanted.name, wanted.description)
            if wanted.webhook_url is not None:
                await self.webhooks.register(tx, tenant, project_id, wanted.webhook_url, shows=False)
            return await self._published(tx, events.CREATED, tenant, project_id)

    async def page(self, tenant: str, query: ListQuery) -> tuple[list[Project], str | None]:
        """A page, newest first, and the cursor of the next one."""
        found = await repository.page(self.db, tenant, query.position(self.cursors), query.limit_and_one)
        return page_of(found, query, self.cursors, lambda project: project.id)

    async def get(self, tenant: str, project_id: str) -> Project:
        """Raises ProjectNotFoundError."""
        return await self._require(self.db, tenant, project_id)

    async def update(self, tenant: str, project_id: str, change: UpdateProject) -> Project:
        """Raises ProjectNotFoundError, ProjectNameTakenError, InvalidUrlError."""
        if change.webhook_url is not None:
            await self.webhooks.check(change.webhook_url, "webhookUrl")
        async with self._changing(tenant, project_id) as tx:
            await repository.update(tx, tenant, project_id, change.name, change.description)
            if change.webhook_url is not None:
                await self.webhooks.register(tx, tenant, project_id, change.webhook_url, shows=False)
            return await self._published(tx, events.UPDATED, tenant, project_id)

    async def delete(self, tenant: str, project_id: str, *, cascade: bool) -> None:
        """Raises ProjectNotFoundError, ProjectNotEmptyError."""
        async with self._changing(tenant, project_id) as tx:
            if cascade:
                await self._delete_contents(tx, tenant, project_id)
            elif await repository.has_contents(tx, tenant, project_id):
                raise ProjectNotEmptyError
            project = await self._require(tx, tenant, project_id)
            await repository.mark_deleted(tx, tenant, project_id)
            await provider_keys.delete_all(tx, tenant, project_id)
            await tool_secrets.delete_all(tx, tenant, project_id)
            await events.publish(tx, events.DELETED, project.model_copy(update={"is_deleted": True}))

    async def add_webhook(self, tenant: str, project_id: str, url: str) -> str | None:
        """Returns the signing secret if nobody was shown it yet. Raises ProjectNotFoundError, InvalidUrlError."""
        await self.webhooks.check(url, "webhookURL")
        async with self._changing(tenant, project_id) as tx:
            secret = await self.webhooks.register(tx, tenant, project_id, url, shows=True)
            await self._published(tx, events.UPDATED, tenant, project_id)
            return secret

    async def active_agent(self, tenant: str, project_id: str) -> str:
        """Raises ProjectNotFoundError, ActiveAgentNotSetError."""
        project = await self.get(tenant, project_id)
        if project.active_agent is None:
            raise ActiveAgentNotSetError
        return project.active_agent

    async def set_active_agent(self, tenant: str, project_id: str, agent_id: str) -> Project:
        """Raises ProjectNotFoundError, AgentNotFoundError, TestsNotPassedError."""
        async with self._changing(tenant, project_id) as tx:
            if await agents.find(tx, tenant, project_id, agent_id) is None:
                raise AgentNotFoundError
            if await agents.find_callable(tx, tenant, project_id, agent_id) is None:
                raise TestsNotPassedError
            await repository.set_active_agent(tx, tenant, project_id, agent_id)
            return await self._published(tx, events.UPDATED, tenant, project_id)

    async def remove_active_agent(self, tenant: str, agent_id: str) -> None:
        """Raises AgentNotActiveError."""
        async with self.db.transaction() as tx:
            project_id = await repository.clear_active_agent(tx, tenant, agent_id)
            if project_id is None:
                raise AgentNotActiveError
            await self._published(tx, events.UPDATED, tenant, project_id)

    @asynccontextmanager
    async def _changing(self, tenant: str, project_id: str) -> AsyncIterator[Tx]:
        """A transaction that has the project to itself."""
        async with self.db.transaction() as tx:
            if not await repository.lock(tx, tenant, project_id, exclusively=True):
                raise ProjectNotFoundError
            yield tx

    @staticmethod
    async def _delete_contents(tx: Tx, tenant: str, project_id: str) -> None:
        for number in await numbers.release_of_project(tx, tenant, project_id):
            await number_events.publish(tx, number_events.RELEASED, tenant, number)
        for agent in await agents.of_project(tx, tenant, project_id):
            await agents.mark_deleted(tx, tenant, agent.id)
            await documents.delete_all(tx, tenant, agent.id)
            await agent_events.publish(tx, agent_events.DELETED, tenant, agent)

    @staticmethod
    async def _require(connection: Tx | Database, tenant: str, project_id: str) -> Project:
        project = await repository.find(connection, tenant, project_id)
        if project is None:
            raise ProjectNotFoundError
        return project

    async def _published(self, tx: Tx, type_: str, tenant: str, project_id: str) -> Project:
        project = await self._require(tx, tenant, project_id)
        await events.publish(tx, type_, project)
        return project
