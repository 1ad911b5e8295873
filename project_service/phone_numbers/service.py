"""What users do with their phone numbers."""

from dataclasses import dataclass

from project_service.agents import repository as agents
from project_service.errors import AgentNotFoundError, ProjectNotFoundError
from project_service.phone_numbers import events, repository
from project_service.phone_numbers.errors import PhoneNumberNotFoundError
from project_service.phone_numbers.schemas import AddNumber, GetPhoneNumber, ListNumbersQuery, PhoneNumber
from project_service.projects import repository as projects
from shared.db import Database, Tx
from shared.pagination import Cursors, page_of


async def assign(tx: Tx, tenant: str, project_id: str, agent_id: str, e164: str) -> PhoneNumber:
    """Give a number to an agent; project and agent are locked. Raises PhoneNumberTakenError."""
    number = await repository.assign(tx, tenant, project_id, agent_id, e164)
    await events.publish(tx, events.ASSIGNED, tenant, number)
    return number


@dataclass(frozen=True, slots=True)
class PhoneNumbers:
    """A user's phone numbers."""

    db: Database
    cursors: Cursors

    async def add(self, tenant: str, wanted: AddNumber) -> PhoneNumber:
        """Raises ProjectNotFoundError, AgentNotFoundError, PhoneNumberTakenError."""
        async with self.db.transaction() as tx:
            if not await projects.lock(tx, tenant, wanted.project_id):
                raise ProjectNotFoundError
            if await agents.lock(tx, tenant, wanted.project_id, wanted.agent_id) is None:
                raise AgentNotFoundError
            return await assign(tx, tenant, wanted.project_id, wanted.agent_id, wanted.e164)

    async def get(self, tenant: str, wanted: GetPhoneNumber) -> PhoneNumber | list[PhoneNumber]:
        """One number, or a list when a project was asked for and has several. Raises PhoneNumberNotFoundError."""
        if wanted.phone_number_id:
            one = await repository.find(self.db, tenant, wanted.phone_number_id)
            found = [one] if one else []
        elif wanted.agent_id:
            found = (await repository.of_agent(self.db, tenant, wanted.agent_id))[:1]
        else:
            found = await repository.of_project(self.db, tenant, wanted.project_id or "")
        if not found:
            raise PhoneNumberNotFoundError
        return found[0] if len(found) == 1 else found

    async def page(self, tenant: str, query: ListNumbersQuery) -> tuple[list[PhoneNumber], str | None]:
        """A page, newest first, and the cursor of the next one."""
        found = await repository.page(self.db, tenant, query, query.position(self.cursors))
        return page_of(found, query, self.cursors, lambda number: number.id)

    async def unassign(self, tenant: str, number_id: str) -> PhoneNumber:
        """Raises PhoneNumberNotFoundError."""
        async with self.db.transaction() as tx:
            number = await repository.unassign(tx, tenant, number_id)
            if number is None:
                raise PhoneNumberNotFoundError
            await events.publish(tx, events.UNASSIGNED, tenant, number)
            return number

    async def release(self, tenant: str, number_id: str) -> None:
        """Raises PhoneNumberNotFoundError."""
        async with self.db.transaction() as tx:
            number = await repository.release(tx, tenant, number_id)
            if number is None:
                raise PhoneNumberNotFoundError
            await events.publish(tx, events.RELEASED, tenant, number)
