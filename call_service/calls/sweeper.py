"""Ends calls that nobody else ends: those of lost workers, and queued ones of deleted projects, with their batches.

A worker that stopped renewing its lease no longer decides about its calls.

A claimed call that was never dialled goes back to the queue, a few times: one that no worker gets as far as to dial
ends `failed`, `worker_failed`. One whose dialling was committed is never dialled again:
it ends `failed`, `worker_lost` once the carrier was seen to take it, `outcome_unknown` before that.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import structlog

from call_service.batches.repository import left_by_deleted_projects
from call_service.batches.service import cancel_batches
from call_service.batches.settlement import settle
from call_service.calls import events, repository
from call_service.calls.domain import (
    OUTCOME_UNKNOWN,
    PROJECT_DELETED,
    TERMINAL,
    WORKER_FAILED,
    WORKER_LOST,
    Call,
    Status,
)
from call_service.calls.gauges import LOST
from call_service.calls.wrap_up import WrapUp, end_queued
from shared.db import PASSING_ERRORS, DatabaseUnavailableError, Tx

log = structlog.get_logger(__name__)

BATCH = 50
# The lease of a call that has ended: its analysis may ask several language models, one after the other.
COMPLETING = timedelta(minutes=5)
COMPLETED_AT_ONCE = 8
# Those beyond it are taken over again when their lease is over.
MAX_COMPLETING = 1000


class Sweeper:
    """Runs in every API process; several at once share the work by row locks."""

    def __init__(self, wrap_up: WrapUp, owner: str, interval_seconds: float) -> None:
        self._wrap_up = wrap_up
        self._owner = owner
        self._interval_seconds = interval_seconds
        self._completing: set[asyncio.Task[None]] = set()
        self._places = asyncio.Semaphore(COMPLETED_AT_ONCE)

    async def run(self) -> None:
        """Until cancelled. The end of a call waits for the completion of no other: analyses take their time."""
        try:
            while True:
                try:
                    await self._end_expired()
                    while await self.cancel_once() == BATCH:
                        pass
                except (DatabaseUnavailableError, asyncpg.PostgresError):
                    log.warning("sweep failed", exc_info=True)
                await asyncio.sleep(self._interval_seconds)
        finally:
            await self._stop()

    async def sweep_once(self) -> int:
        """Take over expired calls, end them, complete them; how many."""
        expired = await self._end_expired()
        await asyncio.gather(*self._completing)
        return expired

    async def _end_expired(self) -> int:
        """Take over and end all expired calls, and begin to complete them; how many."""
        total, found = 0, BATCH
        while found == BATCH:
            async with self._wrap_up.db.transaction() as tx:
                expired = await repository.lock_expired(tx, BATCH)
                taken = [await self._take_apart(tx, call) for call in _in_common_order(expired)]
            for call in filter(None, taken):
                self._begin_to_complete(call)
            found = len(expired)
            total += found
        return total

    def _begin_to_complete(self, call: Call) -> None:
        if len(self._completing) < MAX_COMPLETING:
            task = asyncio.create_task(self._complete(call), name=f"completion of {call.id}")
            self._completing.add(task)
            task.add_done_callback(self._completing.discard)

    async def _stop(self) -> None:
        completing = tuple(self._completing)
        for task in completing:
            task.cancel()
        await asyncio.gather(*completing, return_exceptions=True)

    async def cancel_once(self) -> int:
        """End queued calls of deleted projects, and cancel their batches; how many calls.

        A batch that was being uploaded when its project was deleted was not there to be canceled.
        """
        for project_id in await left_by_deleted_projects(self._wrap_up.db, BATCH):
            async with self._wrap_up.db.transaction() as tx:
                await cancel_batches(tx, project_id)
        async with self._wrap_up.db.transaction() as tx:
            orphans = await repository.lock_of_deleted_projects(tx, BATCH)
            for call in _in_common_order(orphans):
                await end_queued(tx, call, PROJECT_DELETED, self._wrap_up.public_url)
        return len(orphans)

    async def _take_apart(self, tx: Tx, call: Call) -> Call | None:
        """A call that can't be ended is left for a while: it must keep no other from its end."""
        try:
            async with tx.transaction():
                return await self._take(tx, call)
        except PASSING_ERRORS:
            raise
        except Exception:
            log.exception("call cannot be ended", call_id=call.id)
            await repository.postpone(tx, call.id, COMPLETING)
            return None

    async def _complete(self, call: Call) -> None:
        try:
            async with self._places:
                await self._complete_if_held(call)
        except DatabaseUnavailableError:
            log.warning("call not completed", call_id=call.id, exc_info=True)
        except Exception:
            log.exception("call not completed", call_id=call.id)

    async def _complete_if_held(self, call: Call) -> None:
        if not await repository.renew(self._wrap_up.db, self._owner, COMPLETING, {call.id: call.fence}):
            return  # those before it took so long that another sweeper has it now
        try:
            await self._wrap_up.complete(call)
        except DatabaseUnavailableError:
            raise
        except Exception:
            log.exception("call cannot be completed", call_id=call.id)
            if call.was_claimed_too_often:
                await self._wrap_up.give_up(call)

    async def _take(self, tx: Tx, call: Call) -> Call | None:
        log.warning("call of a lost worker", call_id=call.id, status=call.status.value)
        if call.status is Status.QUEUED:
            await self._put_back(tx, call)
            return None
        fence = await repository.take_over(tx, call.id, self._owner, COMPLETING)
        if call.status in TERMINAL:
            return replace(call, fence=fence)
        outcome = OUTCOME_UNKNOWN if call.status is Status.INITIATED else WORKER_LOST
        ended = await repository.end(tx, call.id, fence, outcome, {})
        assert ended is not None  # the row is locked and live
        await settle(tx, ended)
        await events.publish(tx, ended, self._wrap_up.public_url)
        LOST.inc()
        return ended

    async def _put_back(self, tx: Tx, call: Call) -> None:
        if call.was_claimed_too_often:
            log.error("no worker dials this call", call_id=call.id)
            await end_queued(tx, call, WORKER_FAILED, self._wrap_up.public_url)
        else:
            await repository.requeue(tx, call.id)


def _in_common_order(calls: list[Call]) -> list[Call]:
    """The end of a call locks its batch: two sweepers that lock several do so in the same order."""
    return sorted(calls, key=lambda call: call.batch_id or "")
