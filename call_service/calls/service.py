"""What can be done with calls, each use case in one transaction."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from call_service.analysis import Question
from call_service.calls import events, repository
from call_service.calls.domain import TERMINAL, Call, CallTurn
from call_service.calls.errors import (
    CallNotAnsweredError,
    CallNotEndedError,
    CallNotFoundError,
    NoPhoneNumberError,
    ProjectNotFoundError,
    VariableMissingError,
)
from call_service.calls.schemas import CallObject, HistoryQuery
from call_service.calls.wrap_up import Analyzer
from call_service.projects import ProjectDirectory
from shared import placeholders
from shared.db import Database
from shared.ids import is_id, new_id
from shared.pagination import Cursors, InvalidCursorError


@dataclass(frozen=True, slots=True)
class Calls:
    """The use cases about calls, bound to what they need."""

    db: Database
    projects: ProjectDirectory
    cursors: Cursors
    analyzer: Analyzer
    public_url: str

    async def make(
        self, tenant: str, number: str, project_id: str, agent_id: str | None, variables: Mapping[str, str]
    ) -> Call:
        """Queue a call; a worker dials it.

        Raises:
            ProjectNotFoundError, AgentNotFoundError, ActiveAgentNotSetError: 404.
            VariableMissingError: a placeholder stays unfilled.
            NoPhoneNumberError: there is no number to call from.
        """
        prepared = await self.projects.prepare(tenant, project_id, agent_id)
        agent = fill_agent(prepared.agent, variables)
        if prepared.from_number is None:
            raise NoPhoneNumberError
        async with self.db.transaction() as tx:
            call = await repository.insert(
                tx,
                {
                    "id": new_id(),
                    "tenant": tenant,
                    "project_id": prepared.project_id,
                    "agent_id": agent["id"],
                    "agent_version": agent["version"],
                    "agent": agent,
                    "from_number": prepared.from_number,
                    "to_number": number,
                    "dynamic_variables": dict(variables),
                },
            )
            await events.publish(tx, call, self.public_url)
        return call

    async def get(self, tenant: str, call_id: str, project_id: str | None = None) -> Call:
        """Raises CallNotFoundError, also for another tenant's call."""
        call = await repository.find(self.db, tenant, call_id, project_id)
        if call is None:
            raise CallNotFoundError
        return call

    async def show(self, call: Call) -> CallObject:
        return CallObject.of(call, await self.transcript(call), self.public_url)

    async def transcript(self, call: Call) -> list[CallTurn]:
        return await repository.turns(self.db, call.id)

    async def history(self, tenant: str, query: HistoryQuery) -> tuple[list[CallObject], str | None]:
        """A page of the project's calls and the cursor of the next one."""
        await self.require_project(tenant, query.project_id)
        calls = await repository.history(
            self.db,
            tenant,
            query.project_id,
            to=query.to,
            from_=query.from_,
            statuses=[status.value for status in query.status],
            created=query.created,
            ended=query.ended,
            before_id=self._position(query.cursor),
            limit=query.page_size + 1,
        )
        page = calls[: query.page_size]
        said = await repository.turns_of_many(self.db, [call.id for call in page])
        shown = [CallObject.of(call, said[call.id], self.public_url) for call in page]
        return shown, self.cursors.encode([page[-1].id]) if len(calls) > len(page) else None

    async def require_project(self, tenant: str, project_id: str) -> None:
        """Raises ProjectNotFoundError."""
        if not is_id(project_id):
            raise ProjectNotFoundError
        await self.projects.require(tenant, project_id)

    def _position(self, cursor: str | None) -> str | None:
        if cursor is None:
            return None
        position = self.cursors.decode(cursor)
        if len(position) != 1 or not is_id(position[0]):
            raise InvalidCursorError
        return position[0]

    async def analysis(self, tenant: str, call_id: str, questions: list[Question]) -> dict[str, Any]:
        """Answer questions about an ended call.

        Raises:
            CallNotFoundError, CallNotEndedError, CallNotAnsweredError
        """
        call = await self.get(tenant, call_id)
        if call.status not in TERMINAL:
            raise CallNotEndedError
        if call.answered_at is None:
            raise CallNotAnsweredError
        return await self.analyzer.analyze(call, await self.transcript(call), questions)


def fill_agent(agent: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """The agent with the placeholders of its spoken texts filled.

    Raises:
        VariableMissingError: names those that `variables` lacks.
    """
    texts = {name: agent[name] for name in ("systemInstruction", "firstMessage") if agent.get(name)}
    missing = [name for text in texts.values() for name in placeholders.missing(text, variables)]
    if missing:
        raise VariableMissingError(list(dict.fromkeys(missing)))
    return {**agent, **{name: placeholders.fill(text, variables) for name, text in texts.items()}}
