"""Plays the scenarios of tests at a worker, beside its calls and in their places."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

import asyncpg
import stamina
import structlog

from call_service.scenarios import events, repository
from call_service.scenarios.domain import Taken
from call_service.scenarios.judging import Observation, failure
from call_service.scenarios.report import ScenarioReport
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.stage import Cast
from call_service.scenarios.stored import UNREADABLE
from shared.db import Database, DatabaseUnavailableError
from shared.notifications import Repeater

log = structlog.get_logger(__name__)

POLL_SECONDS = 5.0
LEASE = timedelta(seconds=30)
# A report that could not be kept for so long is lost, and another worker plays the scenario again.
REPORT_PATIENCE = timedelta(minutes=2)
WORKER_LOST = Observation("failed", "worker_lost")
BROKEN = Observation("failed", "internal_error")

Play = Callable[[Scenario, Cast], Awaitable[ScenarioReport]]


class Places(Protocol):
    """The places of a worker, which calls need too."""

    async def reserve_between_claims(self) -> bool:
        """Take one, if there is one that no claim under way fills."""

    def unreserve(self) -> None:
        """Give it back."""


class ScenarioPlayer:
    """Takes scenarios of all users' tests, `at_once` at most."""

    def __init__(self, db: Database, play: Play, places: Places, *, owner: str, at_once: int) -> None:
        self._db = db
        self._play = play
        self._places = places
        self._owner = owner
        self._at_once = at_once
        self._playing: dict[asyncio.Task[None], Taken] = {}
        self._is_draining = False
        self._taking = asyncio.Lock()
        self._repeater = Repeater(db, repository.CHANNEL, self._keep, poll_seconds=POLL_SECONDS)

    async def run(self) -> None:
        """Until cancelled; what is played then is left to other workers once its lease is over."""
        try:
            await self._repeater.run()
        finally:
            await self._stop()

    async def drain(self) -> None:
        """Scenarios are not waited for: others play them again from their beginning.

        Without a database their leases run out by themselves.
        """
        self._is_draining = True
        async with self._taking:
            await self._stop()
        try:
            await repository.give_back(self._db, self._owner)
        except (DatabaseUnavailableError, asyncpg.PostgresError) as error:
            log.warning("scenarios not given back", cause=repr(error))

    async def _stop(self) -> None:
        playing = tuple(self._playing)
        for task in playing:
            task.cancel()
        await asyncio.gather(*playing, return_exceptions=True)

    async def _keep(self) -> None:
        async with self._taking:
            if not self._is_draining:
                await self._take()

    async def _take(self) -> None:
        if self._playing:
            await repository.renew(self._db, LEASE, list(self._playing.values()))
        wanted, places = self._at_once - len(self._playing), 0
        taken: list[Taken] = []
        try:
            while places < wanted and await self._places.reserve_between_claims():
                places += 1
            taken = await repository.take(self._db, self._owner, LEASE, places) if places else []
        finally:
            for _ in range(places - len(taken)):
                self._places.unreserve()
        for one in taken:
            task = asyncio.create_task(self._one(one), name=f"scenario {one.position} of {one.test_id}")
            self._playing[task] = one
            task.add_done_callback(self._played)

    def _played(self, task: asyncio.Task[None]) -> None:
        del self._playing[task]
        self._places.unreserve()
        self._repeater.wake()
        if not task.cancelled() and (error := task.exception()):
            log.error("report of a scenario lost", exc_info=error)

    async def _one(self, taken: Taken) -> None:
        report = await self._report(taken)
        async for attempt in stamina.retry_context(
            on=DatabaseUnavailableError, attempts=None, timeout=REPORT_PATIENCE, wait_max=5
        ):
            with attempt:
                await self._finish(taken, report)

    async def _finish(self, taken: Taken, report: ScenarioReport) -> None:
        async with self._db.transaction() as tx:
            if (test := await repository.finish(tx, taken, report)) is not None:
                await events.publish(tx, test)

    async def _report(self, taken: Taken) -> ScenarioReport:
        if taken.was_lost_too_often:
            return failure(taken.scenario, WORKER_LOST)
        if not taken.may_be_played:
            return failure(taken.scenario, UNREADABLE)
        try:
            return await self._play(taken.scenario, Cast(taken.tenant, taken.project_id, taken.agent))
        except Exception:
            log.exception("scenario failed", test_id=taken.test_id, position=taken.position)
            return failure(taken.scenario, BROKEN)
