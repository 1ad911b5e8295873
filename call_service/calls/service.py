"""What can be done with calls, each use case in one transaction."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from call_service.analysis import Question
from call_service.batches.repository import do_not_call_since
from call_service.calls import commands, events, repository
from call_service.calls.commands import Command
from call_service.calls.domain import CANCELED_BY_API, TERMINAL, Call, CallTurn, Status
from call_service.calls.errors import (
    CallAnsweredError,
    CallEndedError,
    CallNotAnsweredError,
    CallNotEndedError,
    CallNotFoundError,
    CallNotInProgressError,
    CancelUnconfirmedError,
    CommandNotFoundError,
    NoPhoneNumberError,
    OnDoNotCallListError,
    ProjectNotFoundError,
    TooManyCommandsError,
    TransferNotAllowedError,
    VariableMissingError,
)
from call_service.calls.schemas import CallListQuery, CallObject, HistoryQuery
from call_service.calls.wrap_up import Analyzer, end_queued
from call_service.projects import ProjectDirectory
from shared import placeholders
from shared.db import Database, Tx
from shared.ids import is_id, new_id
from shared.pagination import Cursors, InvalidCursorError, page_of

CONFIRM_SECONDS = 10.0
COMMAND_SECONDS = 2.0
_CONFIRM_POLL_SECONDS = 0.05
_BEING_DIALLED = frozenset({Status.INITIATED, Status.RINGING})

SPOKEN_TEXTS = ("systemInstruction", "firstMessage")


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
            OnDoNotCallListError: one that gets on the list later is not dialled either.
        """
        prepared = await self.projects.prepare(tenant, project_id, agent_id)
        agent = fill_agent(prepared.agent, variables)
        if prepared.from_number is None:
            raise NoPhoneNumberError
        async with self.db.transaction() as tx:
            if await do_not_call_since(tx, tenant, number):
                raise OnDoNotCallListError
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
            await repository.wake_workers(tx)
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
            direction=query.direction,
            created=query.created,
            ended=query.ended,
            before_id=self._position(query.cursor),
            limit=query.page_size + 1,
        )
        page = calls[: query.page_size]
        return await self._shown(page), self.cursors.encode([page[-1].id]) if len(calls) > len(page) else None

    async def listed(self, tenant: str, query: CallListQuery) -> tuple[list[CallObject], str | None]:
        """A page of the tenant's calls, newest first, and the cursor of the next one."""
        found = await repository.listed(
            self.db,
            tenant,
            project_id=str(query.project_id) if query.project_id else None,
            statuses=[status.value for status in query.status],
            direction=query.direction,
            before_id=self._position(query.cursor),
            limit=query.limit_and_one,
        )
        page, cursor = page_of(found, query, self.cursors, lambda call: call.id)
        return await self._shown(page), cursor

    async def _shown(self, page: list[Call]) -> list[CallObject]:
        said = await repository.turns_of_many(self.db, [call.id for call in page])
        return [CallObject.of(call, said[call.id], self.public_url) for call in page]

    async def cancel(self, tenant: str, call_id: str) -> Call:
        """End a call before it is answered. Once this returns, nobody is dialled who was not.

        A worker between its intent and the carrier can only be asked, so its confirmation is waited for.

        Raises:
            CallNotFoundError, CallAnsweredError, CallEndedError
            CancelUnconfirmedError: the worker did not say in time what came of it.
        """
        async with self.db.transaction() as tx:
            call = await self._locked(tx, tenant, call_id)
            if call.status is Status.QUEUED:
                return await end_queued(tx, call, CANCELED_BY_API, self.public_url)
            if call.status in _BEING_DIALLED:
                await commands.ask(tx, call.id, "cancel")
        return _canceled(await self._confirmed(call))

    async def _confirmed(self, call: Call) -> Call:
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                while call.status in _BEING_DIALLED:
                    await asyncio.sleep(_CONFIRM_POLL_SECONDS)
                    call = await self.get(call.tenant, call.id)
        except TimeoutError:
            raise CancelUnconfirmedError from None
        return call

    async def request_end(self, tenant: str, call_id: str) -> Call:
        """Let the agent say goodbye and hang up.

        Raises:
            CallNotFoundError, CallNotInProgressError, CallEndedError
        """
        async with self.db.transaction() as tx:
            call = await self._locked_in_progress(tx, tenant, call_id)
            await commands.ask(tx, call.id, "end")
        return call

    async def command(self, tenant: str, call_id: str, kind: commands.Kind, arguments: Mapping[str, Any]) -> Command:
        """Ask the worker of an answered call for something; `command_result` says what comes of it.

        Raises:
            CallNotFoundError, CallNotInProgressError, CallEndedError, TooManyCommandsError
            TransferNotAllowedError: the agent has numbers to transfer to, and this is none of them.
        """
        async with self.db.transaction() as tx:
            call = await self._locked_in_progress(tx, tenant, call_id)
            allowed = call.agent.get("transferNumbers")
            if kind == "transfer" and allowed and arguments["to"] not in allowed:
                raise TransferNotAllowedError
            if await commands.open_count(tx, call.id) >= commands.MAX_OPEN:
                raise TooManyCommandsError
            return await commands.add(tx, call.id, kind, arguments)

    async def command_result(self, call_id: str, command_id: str) -> Command:
        """What came of a command that is committed; waits a moment for it.

        Raises CommandNotFoundError.
        """
        command = await self._command(call_id, command_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(COMMAND_SECONDS):
                while command.state == "accepted":
                    await asyncio.sleep(_CONFIRM_POLL_SECONDS)
                    command = await self._command(call_id, command_id)
        return command

    async def find_command(self, tenant: str, call_id: str, command_id: str) -> Command:
        """Raises CallNotFoundError, CommandNotFoundError."""
        call = await self.get(tenant, call_id)
        return await self._command(call.id, command_id)

    async def _command(self, call_id: str, command_id: str) -> Command:
        command = await commands.find(self.db, call_id, command_id)
        if command is None:
            raise CommandNotFoundError
        return command

    async def _locked_in_progress(self, tx: Tx, tenant: str, call_id: str) -> Call:
        call = await self._locked(tx, tenant, call_id)
        if call.status in TERMINAL:
            raise CallEndedError
        if call.status is not Status.IN_PROGRESS:
            raise CallNotInProgressError
        return call

    async def _locked(self, tx: Tx, tenant: str, call_id: str) -> Call:
        call = await repository.lock(tx, tenant, call_id)
        if call is None:
            raise CallNotFoundError
        return call

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


def _canceled(call: Call) -> Call:
    if call.status is Status.IN_PROGRESS:
        raise CallAnsweredError
    if call.status is not Status.CANCELED:
        raise CallEndedError
    return call


def fill_agent(agent: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, Any]:
    """The agent with the placeholders of its spoken texts filled.

    Raises:
        VariableMissingError: names those that `variables` lacks.
    """
    texts = {name: agent[name] for name in SPOKEN_TEXTS if agent.get(name)}
    missing = [name for text in texts.values() for name in placeholders.missing(text, variables)]
    if missing:
        raise VariableMissingError(list(dict.fromkeys(missing)))
    return {**agent, **{name: placeholders.fill(text, variables) for name, text in texts.items()}}
