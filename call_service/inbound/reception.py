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
from call_service.capacity import repository as capacity
from call_service.carriers.numbers import caller_of, e164_of
from call_service.carriers.port import CallRefusedError, IncomingCall, RefusedCall
from call_service.dialer.answering import AnsweringRunner
from call_service.dialer.runner import Tools
from call_service.dialer.worker import Worker
from call_service.inbound import repository
from call_service.inbound.directory import NumberDirectory
from call_service.inbound.refusals import RefusalLog
from call_service.projects import CalledNumber, ProjectServiceUnavailableError
from shared import placeholders
from shared.db import DatabaseUnavailableError, Tx

log = structlog.get_logger(__name__)

CALLS_IN = Counter("talkstack_worker_incoming_calls", "Calls that came in over known trunks, by result.", ["result"])

# As many as share an address at most; the project service takes no more.
MAX_TENANTS = 1_000
NO_AGENT = Outcome(Status.FAILED, "no_agent", "tenant", 480)
NO_CAPACITY = Outcome(Status.FAILED, "no_capacity", "platform", 503)
# 486 and not 503: no other worker has room for it either, and the server is not overloaded for anybody else.
TOO_MANY_CALLS = Outcome(Status.FAILED, "too_many_calls", "tenant", 486)
TRUNK_BUSY = Outcome(Status.FAILED, "trunk_busy", "tenant", 486)


REFUSED_BY_TRUNK = "refused_by_trunk"


class _RefusedError(Exception):
    """The call is not answered. `call_id`: it was kept as a call. `is_of_trunk`: it is known which trunk it came by."""

    def __init__(self, result: str, sip_code: int, *, call_id: str | None = None, is_of_trunk: bool = False) -> None:
        super().__init__(result)
        self.result = result
        self.sip_code = sip_code
        self.call_id = call_id
        self.is_of_trunk = is_of_trunk


class Reception:
    """Takes the calls of a carrier for a worker."""

    def __init__(self, tools: Tools, worker: Worker, directory: NumberDirectory) -> None:
        self._tools = tools
        self._db = tools.wrap_up.db
        self._worker = worker
        self._directory = directory
        self._tasks: set[asyncio.Task[None]] = set()
        self.refusals = RefusalLog(self._db)

    async def close(self) -> None:
        """Decide nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.refusals.close()

    def take(self, incoming: IncomingCall) -> None:
        """Decide about a call, in the background."""
        task = asyncio.create_task(self._receive(incoming), name="incoming call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _receive(self, incoming: IncomingCall) -> None:
        result = "taken"
        try:
            await self._admit(incoming)
        except _RefusedError as refusal:
            result = refusal.result
            self._refuse(incoming, refusal)
        except (DatabaseUnavailableError, asyncpg.PostgresError):
            log.warning("cannot take a call", exc_info=True)
            result = "database_unavailable"
            incoming.reject(503)
        except Exception:
            log.exception("cannot take a call")
            result = "failed"
            self._refuse(incoming, _RefusedError(result, 500))
        CALLS_IN.labels(result).inc()
        log.info("incoming call", trunk=incoming.trunk, result=result)

    def _refuse(self, incoming: IncomingCall, refusal: _RefusedError) -> None:
        was_given_up = not incoming.is_open and refusal.result != REFUSED_BY_TRUNK
        incoming.reject(refusal.sip_code)
        # A 401 only asks for the password; who gave up was not refused.
        if was_given_up or refusal.sip_code == 401:
            return
        trunks = [incoming.trunk] if refusal.is_of_trunk else incoming.trunks
        self.refusals.note(
            RefusedCall(trunks, incoming.from_, incoming.to, refusal.sip_code, refusal.result, incoming.ladder),
            refusal.call_id,
        )

    async def _admit(self, incoming: IncomingCall) -> None:
        if self._worker.is_draining:
            raise _RefusedError("draining", 503)
        called = await self._identify(incoming)
        if called.agent is None:
            await self._record(incoming, called, NO_AGENT)
        if not await self._worker.reserve_between_claims():
            await self._record(incoming, called, NO_CAPACITY)
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
            raise _RefusedError(REFUSED_BY_TRUNK, error.sip_code, is_of_trunk=True) from None
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
        """The call as kept. Raises _RefusedError where it is `refused`, or there is no room for it."""
        public_url = self._tools.wrap_up.public_url
        async with self._db.transaction() as tx:
            refused = refused or await self._lack_of_room(tx, incoming.trunk, called.tenant)
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
                await end_queued(tx, call, refused, public_url)
            else:
                await events.publish(tx, call, public_url)
        if refused:
            assert refused.sip_code is not None
            raise _RefusedError(refused.reason, refused.sip_code, call_id=call.id, is_of_trunk=True)
        return call

    async def _lack_of_room(self, tx: Tx, trunk_id: str, tenant: str) -> Outcome | None:
        """The rule of calls that are made: all workers together hold no more than the tenant and the trunk may have."""
        room = await capacity.lock(tx, tenant, trunk_id, self._tools.limits)
        if room.of_tenant <= 0:
            return TOO_MANY_CALLS
        return None if room.places else TRUNK_BUSY


def _spoken(agent: Mapping[str, Any]) -> dict[str, Any]:
    """The agent without placeholders: nobody fills them when somebody calls."""
    names = {name for text in SPOKEN_TEXTS for name in placeholders.names(agent.get(text) or "")}
    return fill_agent(agent, dict.fromkeys(names, ""))
