"""The ordered writes of one call: the conversation never waits for the database, and nothing is written out of order.

Every write carries the fence of the lease. A write that finds the fence gone tells the call that it is lost: somebody
else has ended it, and this worker has to hang up and keep silent.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import stamina
import structlog

from call_service.batches.gate import refusal
from call_service.batches.settlement import settle
from call_service.calls import commands, events, repository
from call_service.calls.commands import Command
from call_service.calls.costs import CostLine, carrier_line
from call_service.calls.domain import LIVE, Call, CallTurn, Outcome, Status
from call_service.capacity import repository as capacity
from call_service.capacity.domain import Limits
from shared.db import Database, DatabaseUnavailableError, Tx, storable

log = structlog.get_logger(__name__)

MAX_PENDING = 1000
PATIENCE_SECONDS = 120.0
# Characters: nobody talks for so long, but a vendor's answer may be a megabyte.
MAX_TURN = 20_000

Write = Callable[[Tx], Awaitable[Call | None]]


class FenceLostError(Exception):
    """Another process owns this call now."""


class Journal:
    """Writes about one call, one after the other, each in its own transaction together with its event."""

    def __init__(self, db: Database, call: Call, public_url: str) -> None:
        self._db = db
        self._public_url = public_url
        self._pending: asyncio.Queue[Write] = asyncio.Queue(MAX_PENDING)
        self._position = 0
        self.call = call
        self.lost = asyncio.Event()

    async def run(self) -> None:
        """Write what is queued until cancelled; while Postgres is away, wait up to 120 s for it."""
        while not self.lost.is_set():
            write = await self._pending.get()
            try:
                await self._commit(write)
            except FenceLostError:
                log.warning("fence lost", call_id=self.call.id)
                self.lost.set()
            except Exception:
                log.exception("write failed", call_id=self.call.id)
                self.lost.set()
            finally:
                self._pending.task_done()

    async def flushed(self) -> None:
        """Wait until everything queued was written, or the call is lost."""
        lost = asyncio.ensure_future(self.lost.wait())
        done = asyncio.ensure_future(self._pending.join())
        try:
            await asyncio.wait([lost, done], return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            done.cancel()

    def advance(self, status: Status) -> None:
        """Queue a move to a live state."""
        self._submit(lambda tx: self._advance(tx, status))

    def turn(self, turn: CallTurn, timings: dict[str, Any]) -> None:
        """Queue a line of the transcript."""
        position = self._position
        self._position += 1
        turn = replace(turn, text=storable(turn.text)[:MAX_TURN])

        async def write(tx: Tx) -> Call | None:
            call = await repository.lock_held(tx, self.call.id, self.call.fence)
            if call and await repository.add_turn(tx, call.id, position=position, turn=turn, timings=timings):
                await events.publish_turn(tx, call, turn, timings)
            return call

        self._submit(write)

    def finish(self, command: Command, reason: str | None = None, *, event: events.Happening | None = None) -> None:
        """Queue what came of a command, with the event of it; `reason` says why it failed."""

        async def write(tx: Tx) -> Call | None:
            call = await repository.lock_held(tx, self.call.id, self.call.fence)
            if call:
                await commands.finish(tx, command, reason)
            if call and event:
                await events.publish_happening(tx, call, event)
            return call

        self._submit(write)

    def happened(self, event: events.Happening) -> None:
        """Queue what happened to the call and changes none of its states."""

        async def write(tx: Tx) -> Call | None:
            call = await repository.lock_held(tx, self.call.id, self.call.fence)
            if call:
                await events.publish_happening(tx, call, event)
            return call

        self._submit(write)

    def detected(self, event: events.DetectedCall) -> None:
        """Queue who or what answered."""

        async def write(tx: Tx) -> Call | None:
            call = await repository.answered_by(tx, self.call.id, self.call.fence, event.answered_by)
            if call:
                await events.publish_happening(tx, call, event)
            return call

        self._submit(write)

    async def personalise(self, agent: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        """Change what this call is made of, before its intent. Raises FenceLostError, then it must not be dialled."""
        await self._commit(lambda tx: repository.personalise(tx, self.call.id, self.call.fence, agent, variables))

    async def next_start(self, limits: Limits) -> timedelta:
        """Another start at the pace of the tenant and the trunk than the one promised: how long until then."""
        async with self._db.transaction() as tx:
            room = await capacity.lock(tx, self.call.tenant, self.call.trunk_id, limits)
            delay = await capacity.book_next(tx, room)
        assert delay is not None
        return delay

    async def take_second_leg(self, limits: Limits, longest: timedelta) -> timedelta | None:
        """A place of the call's trunk for somebody else, and a start at its pace: how long until then.

        None: the trunk is full, or can't begin a call within `longest`. Raises FenceLostError.
        """
        delay: timedelta | None = None

        async def write(tx: Tx) -> Call | None:
            nonlocal delay
            call = await repository.set_second_leg(tx, self.call.id, self.call.fence, is_held=True)
            if call is None:
                return None
            room = await capacity.lock(tx, call.tenant, call.trunk_id, limits)
            is_full = room.of_trunk is not None and room.of_trunk < 0  # it counts already
            delay = None if is_full else await capacity.book_next(tx, room, longest)
            if delay is None:
                call = await repository.set_second_leg(tx, call.id, call.fence, is_held=False)
            return call

        await self._commit(write)
        return delay

    def leave_second_leg(self) -> None:
        """Queue that the second leg is gone."""
        self._submit(lambda tx: repository.set_second_leg(tx, self.call.id, self.call.fence, is_held=False))

    async def intend(self, carrier: str, lease: timedelta) -> Outcome | None:
        """Commit that this call is about to be dialled, unless its batch or the do-not-call list forbids it.

        The lease begins anew with it, so that nobody else ends the call for so long.

        Returns how it is to end instead, None when it may be dialled. Raises FenceLostError, then it must not be.
        """
        refused: Outcome | None = None

        async def write(tx: Tx) -> Call | None:
            nonlocal refused
            call = await repository.lock_queued(tx, self.call.id, self.call.fence)
            if call is None:
                return None
            refused = await refusal(tx, call)
            return call if refused else await self._advance(tx, Status.INITIATED, carrier, lease)

        await self._commit(write)
        return refused

    async def end(
        self,
        outcome: Outcome,
        data: Mapping[str, str],
        price_per_minute: Decimal,
        currency: str,
        vendors: Sequence[CostLine] = (),
    ) -> bool:
        """Write the terminal state behind everything queued, with what the carrier and `vendors` cost.

        False: somebody else has ended the call.
        """
        await self.flushed()
        if self.lost.is_set():
            return False
        clean = {storable(field): storable(value) for field, value in data.items()}

        async def write(tx: Tx) -> Call | None:
            ended = await repository.end(tx, self.call.id, self.call.fence, outcome, clean)
            if ended is None:
                return None
            carrier = [carrier_line(ended.carrier or "", ended.seconds, price_per_minute)] if ended.seconds else []
            charged = await repository.charge(tx, ended.id, [*carrier, *vendors], currency)
            await settle(tx, charged)
            await events.publish(tx, charged, self._public_url)
            return charged

        try:
            await self._commit(write)
        except FenceLostError:
            self.lost.set()
        return not self.lost.is_set()

    def _submit(self, write: Write) -> None:
        try:
            self._pending.put_nowait(write)
        except asyncio.QueueFull:
            log.error("too many pending writes", call_id=self.call.id)  # noqa: TRY400 - the trace says nothing
            self.lost.set()

    async def _advance(
        self, tx: Tx, status: Status, carrier: str | None = None, lease: timedelta | None = None
    ) -> Call | None:
        call = await repository.advance(tx, self.call.id, self.call.fence, status, carrier=carrier, lease=lease)
        if call:
            await events.publish(tx, call, self._public_url)
            return call
        # A commit whose confirmation was lost is tried again, and finds its own work done.
        call = await repository.lock_held(tx, self.call.id, self.call.fence)
        return call if call and call.status in LIVE else None

    async def _commit(self, write: Write) -> None:
        async for attempt in stamina.retry_context(
            on=DatabaseUnavailableError, attempts=None, timeout=PATIENCE_SECONDS, wait_initial=0.2, wait_max=5
        ):
            with attempt:
                async with self._db.transaction() as tx:
                    call = await write(tx)
        if call is None:
            raise FenceLostError
        self.call = call
