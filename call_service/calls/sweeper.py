"""Ends the calls of lost workers: a worker that stopped renewing its lease no longer decides about its calls.

A claimed call that was never dialled goes back to the queue. One whose dialling was committed is never dialled again:
it ends `failed`, `worker_lost` once the carrier was seen to take it, `outcome_unknown` before that.
"""

import asyncio
from dataclasses import replace
from datetime import timedelta

import asyncpg
import structlog

from call_service.calls import events, repository
from call_service.calls.domain import OUTCOME_UNKNOWN, TERMINAL, WORKER_LOST, Call, Status
from call_service.calls.wrap_up import WrapUp
from shared.db import DatabaseUnavailableError, Tx

log = structlog.get_logger(__name__)

BATCH = 50


class Sweeper:
    """Runs in every API process; several at once share the work by row locks."""

    def __init__(self, wrap_up: WrapUp, owner: str, lease: timedelta, interval_seconds: float) -> None:
        self._wrap_up = wrap_up
        self._owner = owner
        self._lease = lease
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self.sweep_once() == BATCH:
                    pass
            except (DatabaseUnavailableError, asyncpg.PostgresError):
                log.warning("sweep failed", exc_info=True)
            await asyncio.sleep(self._interval_seconds)

    async def sweep_once(self) -> int:
        """Take over expired calls, end them, complete them; how many."""
        async with self._wrap_up.db.transaction() as tx:
            expired = await repository.lock_expired(tx, BATCH)
            taken = [await self._take(tx, call) for call in expired]
        for call in filter(None, taken):
            await self._wrap_up.complete(call)
        return len(expired)

    async def _take(self, tx: Tx, call: Call) -> Call | None:
        log.warning("call of a lost worker", call_id=call.id, status=call.status.value)
        if call.status is Status.QUEUED:
            await repository.requeue(tx, call.id)
            return None
        fence = await repository.take_over(tx, call.id, self._owner, self._lease)
        if call.status in TERMINAL:
            return replace(call, fence=fence)
        outcome = OUTCOME_UNKNOWN if call.status is Status.INITIATED else WORKER_LOST
        ended = await repository.end(tx, call.id, fence, outcome, {})
        assert ended is not None  # the row is locked and live
        await events.publish(tx, ended, self._wrap_up.public_url)
        return ended
