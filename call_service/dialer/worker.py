"""The worker: claims queued calls, keeps their leases alive, drains.

A queued call wakes it by NOTIFY; it also polls, because notifications can be lost. Claims are bounded by free slots, so
a full worker leaves the queue to others.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import asyncpg
import structlog
from prometheus_client import Counter, Gauge

from call_service.calls import commands, repository
from call_service.calls.claiming import Claimed, Claimer
from call_service.calls.domain import Call
from call_service.dialer.runner import CallRunner, Tools
from shared.db import Database, DatabaseUnavailableError
from shared.notifications import Repeater

log = structlog.get_logger(__name__)

POLL_SECONDS = 1.0
RENEW_TIMEOUT_SECONDS = 5.0
RESERVE_TIMEOUT_SECONDS = 3.0
GOODBYE_SECONDS = 15.0
DATABASE_ERRORS = (DatabaseUnavailableError, asyncpg.PostgresError)

LIVE_CALLS = Gauge("talkstack_worker_live_calls", "Calls this worker holds.")
CALL_SLOTS = Gauge("talkstack_worker_call_slots", "Calls this worker may hold at once.")
CLAIMED = Counter("talkstack_worker_claimed_calls", "Calls claimed since the start.")


class Worker:
    """Runs up to `max_calls` calls at once."""

    def __init__(self, db: Database, tools: Tools, claimers: Sequence[Claimer], *, owner: str, max_calls: int) -> None:
        """`claimers` are asked in this order: the later ones get the places that are left."""
        self._db = db
        self._tools = tools
        self._claimers = claimers
        self.owner = owner
        self._lease = tools.lease
        self._max_calls = max_calls
        self._live: dict[str, tuple[int, CallRunner, asyncio.Task[None]]] = {}
        self._wake = asyncio.Event()
        self._is_draining = False
        self._reserved = 0
        self._claiming = asyncio.Lock()
        CALL_SLOTS.set(max_calls)

    async def run(self, heartbeat_seconds: float) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._db.listen("calls_queued", lambda _payload: self._wake.set(), self._wake.set))
            group.create_task(self._claim_forever())
            group.create_task(self._renew_forever(heartbeat_seconds))
            group.create_task(Repeater(self._db, "calls_control", self._obey, poll_seconds=heartbeat_seconds).run())

    async def drain(self) -> None:
        """Claim nothing more; wait until the live calls have ended, those included that are being taken right now."""
        self._is_draining = True
        async with self._claiming:
            pass
        while self._live or self._reserved:
            self._wake.clear()
            await self._idle()

    async def stop(self) -> None:
        """What still talks when the drain time is over says goodbye; what can't is cut and left to the sweeper."""
        tasks = [task for _fence, _runner, task in self._live.values()]
        if not tasks:
            return
        for _fence, runner, _task in self._live.values():
            runner.request_end()
        _done, late = await asyncio.wait(tasks, timeout=GOODBYE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _claim_forever(self) -> None:
        while not self._is_draining:
            self._wake.clear()
            async with self._claiming:
                if self.is_draining:  # since it waits for its turn
                    return
                free = self._max_calls - len(self._live) - self._reserved
                claimed = await self._claim(free) if free > 0 else []
                for call, delay_seconds in claimed:
                    self.start(call, CallRunner(call, self._tools, delay_seconds))
            if not claimed or len(claimed) == free:
                await self._idle()

    async def _claim(self, free: int) -> list[Claimed]:
        claimed: list[Claimed] = []
        try:
            for claimer in self._claimers:
                if len(claimed) < free:
                    claimed += await claimer.claim(free - len(claimed))
        except DATABASE_ERRORS:
            log.warning("cannot claim", exc_info=True)
            await asyncio.sleep(POLL_SECONDS)
        except Exception:  # whatever is wrong with what waits: the calls that are live need this worker
            log.exception("cannot claim")
            await asyncio.sleep(POLL_SECONDS)
        CLAIMED.inc(len(claimed))
        return claimed

    async def _idle(self) -> None:
        # Not `wait_for`: where the event and a cancellation come together, it swallows the cancellation (Python 3.11).
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    @property
    def is_draining(self) -> bool:
        """No more calls are taken."""
        return self._is_draining

    async def reserve_between_claims(self) -> bool:
        """A place for what is not claimed here, if there is one; `unreserve` gives it back.

        It waits until a claim that is under way knows which of the places it fills. False after 3 s.
        """
        try:
            async with asyncio.timeout(RESERVE_TIMEOUT_SECONDS), self._claiming:
                is_free = not self._is_draining and len(self._live) + self._reserved < self._max_calls
                self._reserved += is_free
                return is_free
        except TimeoutError:
            return False

    def unreserve(self) -> None:
        """The call is started, or will not be."""
        self._reserved -= 1
        self._wake.set()

    def start(self, call: Call, runner: CallRunner) -> None:
        """Run a call that this worker owns."""
        task = asyncio.create_task(runner.run(), name=f"call {call.id}")
        self._live[call.id] = (call.fence, runner, task)
        LIVE_CALLS.set(len(self._live))
        task.add_done_callback(lambda _task: self._ended(call.id))

    def _ended(self, call_id: str) -> None:
        del self._live[call_id]
        LIVE_CALLS.set(len(self._live))
        self._wake.set()

    async def _obey(self) -> None:
        held = self._held()
        for command in await commands.open_of(self._db, held) if held else ():
            if (asked := self._live.get(command.call_id)) is not None:
                asked[1].obey(command)

    def _held(self) -> dict[str, int]:
        return {call_id: fence for call_id, (fence, _runner, _task) in self._live.items()}

    async def _renew_forever(self, heartbeat_seconds: float) -> None:
        while True:
            await asyncio.sleep(heartbeat_seconds)
            await self._renew()

    async def _renew(self) -> None:
        """A call whose lease is gone is hung up: another process has ended it."""
        held = self._held()
        if not held:
            return
        try:
            async with asyncio.timeout(RENEW_TIMEOUT_SECONDS):
                kept = await repository.renew(self._db, self.owner, self._lease, held)
        except (*DATABASE_ERRORS, TimeoutError):
            log.warning("cannot renew leases", exc_info=True)
            return
        for call_id in set(held) - kept:
            if (lost := self._live.get(call_id)) is not None:
                lost[1].lose()
