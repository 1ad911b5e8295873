"""What becomes of a call that comes in: it gets an agent, or the SIP code that says why not.

The call is in the database, owned by this worker, before anybody picks up: if the worker dies, somebody ends it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import asyncpg
import structlog
from prometheus_client import Counter

from call_service.calls import events
from call_service.calls.domain import Call, Outcome, Status
from call_service.calls.errors import PhoneNumberUnknownError
from call_service.calls.service import SPOKEN_TEXTS, fill_agent
from call_service.calls.wrap_up import end_queued
from call_service.carriers.numbers import caller_of, e164_of
from call_service.carriers.port import CallRefusedError, IncomingCall
from call_service.dialer.answering import AnsweringRunner
from call_service.dialer.runner import Tools
from call_service.dialer.worker import Worker
from call_service.inbound import repository
from call_service.inbound.directory import NumberDirectory
from call_service.projects import CalledNumber, ProjectServiceUnavailableError
from shared import placeholders
from shared.db import DatabaseUnavailableError

log = structlog.get_logger(__name__)

CALLS_IN = Counter("talkstack_worker_incoming_calls", "Calls that came in over known trunks, by result.", ["result"])

# As many as share an address at most; the project service takes no more.
MAX_TENANTS = 1_000
NO_AGENT = Outcome(Status.FAILED, "no_agent", "tenant", 480)
NO_CAPACITY = Outcome(Status.FAILED, "no_capacity", "platform", 503)
# 486 and not 503: no other worker has room for it either, and the server is not overloaded for anybody else.
TOO_MANY_CALLS = Outcome(Status.FAILED, "too_many_calls", "tenant", 486)
TRUNK_BUSY = Outcome(Status.FAILED, "trunk_busy", "tenant", 486)


class _RefusedError(Exception):
    """The call is not answered."""

    def __init__(self, result: str, sip_code: int) -> None:
        super().__init__(result)
        self.result = result
        self.sip_code = sip_code


class Reception:
    """Takes the calls of a carrier for a worker."""

    def __init__(self, tools: Tools, worker: Worker, directory: NumberDirectory) -> None:
        self._tools = tools
        self._db = tools.wrap_up.db
        self._worker = worker
        self._directory = directory
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Decide nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self, incoming: IncomingCall) -> None:
        """Decide about a call, in the background."""
        task = asyncio.create_task(self._receive(incoming), name="incoming call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, incoming: IncomingCall) -> None:
        try:
            await self._admit(incoming)
            result = "taken"
        except _RefusedError as refusal:
            result = refusal.result
            incoming.reject(refusal.sip_code)
        except (DatabaseUnavailableError, asyncpg.PostgresError):
            log.warning("cannot take a call", exc_info=True)
            result = "database_unavailable"
            incoming.reject(503)
        except Exception:
            log.exception("cannot take a call")
            result = "failed"
            incoming.reject(500)
        CALLS_IN.labels(result).inc()
        log.info("incoming call", trunk=incoming.trunk, result=result)

    async def _admit(self, incoming: IncomingCall) -> None:
        if self._worker.is_draining:
            raise _RefusedError("draining", 503)
        called = await self._identify(incoming)
        if called.agent is None:
            await self._record(incoming, called, NO_AGENT)
            raise _RefusedError("no_agent", 480)
        if not await self._worker.reserve_between_claims():
            await self._record(incoming, called, NO_CAPACITY)
            raise _RefusedError("no_capacity", 503)
        try:
            call = await self._record(incoming, called)
        finally:
            self._worker.unreserve()
        self._worker.start(call, AnsweringRunner(call, self._tools, incoming))

    async def _identify(self, incoming: IncomingCall) -> CalledNumber:
        """Of the trunks that the call may be from it is the one of the called number's owner."""
        owners = await repository.tenants_of_trunks(self._db, incoming.trunks)
        if not owners:
            raise _RefusedError("unknown_trunk", 480)
        tenants = list(dict.fromkeys(owners.values()))[:MAX_TENANTS]
        called = await self._called(tenants, incoming.to)
        trunk = next(trunk for trunk, tenant in owners.items() if tenant == called.tenant)
        try:
            incoming.belongs_to(trunk)
        except CallRefusedError as error:
            raise _RefusedError("refused_by_trunk", error.sip_code) from None
        return called

    async def _called(self, tenants: list[str], user: str) -> CalledNumber:
        number = e164_of(user)
        if number is None:
            raise _RefusedError("unknown_number", 404)
        try:
            found = await self._directory.called(tenants, number)
        except PhoneNumberUnknownError:
            raise _RefusedError("unknown_number", 404) from None
        except ProjectServiceUnavailableError:
            raise _RefusedError("project_service_unavailable", 503) from None
        return replace(found, agent=found.agent and _spoken(found.agent))

    async def _record(self, incoming: IncomingCall, called: CalledNumber, refused: Outcome | None = None) -> Call:
        public_url = self._tools.wrap_up.public_url
        async with self._db.transaction() as tx:
            call = await repository.insert(
                tx,
                incoming.trunk,
                called,
                from_number=caller_of(incoming.from_),
                to_number=e164_of(incoming.to) or incoming.to,
                owner=self._worker.owner,
                lease=self._tools.lease,
            )
            if refused:
                return await end_queued(tx, call, refused, public_url)
            await events.publish(tx, call, public_url)
        return call


def _spoken(agent: Mapping[str, Any]) -> dict[str, Any]:
    """The agent without placeholders: nobody fills them when somebody calls."""
    names = {name for text in SPOKEN_TEXTS for name in placeholders.names(agent.get(text) or "")}
    return fill_agent(agent, dict.fromkeys(names, ""))
