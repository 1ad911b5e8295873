"""A worker ends at its first await, at its second, at every one: nobody is dialled twice, all comes to an end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.carriers.port import Cause, DialRequest
from call_service.settings import CallApiSettings
from call_service.voice.memory_leg import MemoryLeg
from shared.db import Database
from shared.memory_bus import InMemoryBus
from tests.support.batches import csv_of, upload
from tests.support.calls import SECRET, Customer, FakeProjects
from tests.support.crashes import die_everywhere
from tests.support.history import Accepted
from tests.support.recorder import Recorder
from tests.support.workers import LEASE, Switchboard, new_worker, sweeper

pytestmark = [pytest.mark.timeout(180), pytest.mark.parametrize("fault", ["killed", "cancelled"])]


class BusyPhones(Switchboard):
    """Everybody is on the phone; the carrier's answer takes a moment longer than its dialling."""

    async def place(self, request: DialRequest) -> MemoryLeg:
        await asyncio.sleep(0)
        leg = await super().place(request)
        await asyncio.sleep(0)
        leg.end(Cause.BUSY)
        return leg


class Mortals:
    """Workers that die one after the other, each of them with one thing to do."""

    def __init__(self, db: Database, dsn: str, folder: Path) -> None:
        self._db = db
        self._dsn = dsn
        self._folder = folder
        self.carrier = BusyPhones()

    async def die_everywhere(self, fault: str, prepare: Callable[[], Awaitable[None]]) -> int:
        return await die_everywhere(
            lambda: Database.connect(self._dsn, "calls", max_size=4),
            fault,
            prepare=prepare,
            work=self._work,
            recover=self._recover,
            is_done=self._is_done,
        )

    async def _work(self, own: Database) -> None:
        worker = await new_worker(own, self.carrier, self._folder, lease=LEASE, max_calls=4)
        await worker.run(heartbeat_seconds=10)

    async def _recover(self) -> None:
        await self._db.execute("UPDATE calls SET lease_until = now() - interval '1 s' WHERE lease_until IS NOT NULL")
        await asyncio.gather(*(sweeper(self._db, self._folder).sweep_once() for _ in range(2)))

    async def _is_done(self) -> bool:
        return not await self._db.fetchval(
            """SELECT EXISTS (SELECT FROM calls WHERE completed_at IS NULL)
                   OR EXISTS (SELECT FROM batch_contacts WHERE state IN ('pending', 'dialing'))"""
        )


async def test_a_call_that_was_asked_for(db: Database, calls_url: str, tmp_path: Path, fault: str) -> None:
    """From its claim to its completion."""
    mortals, recorder = Mortals(db, calls_url, tmp_path), Recorder(db)

    async def prepare() -> None:
        await recorder.make()

    deaths = await mortals.die_everywhere(fault, prepare)
    assert deaths > 40
    recorder.dialled(*mortals.carrier.dialled)
    assert await recorder.outcome() == []
    calls = await db.fetch("SELECT id, reason FROM calls")
    assert {call["reason"] for call in calls} == {"callee_busy", "outcome_unknown", "worker_lost"}
    assert {str(call["id"]) for call in calls if call["reason"] == "callee_busy"} <= set(mortals.carrier.dialled)


@asynccontextmanager
async def serving(dsn: str, folder: Path, projects: FakeProjects) -> AsyncIterator[Customer]:
    async with TestServer(projects.app()) as server:
        projects.url = str(server.make_url("/"))
        settings = CallApiSettings(
            database_url=dsn,
            internal_token_secret=SECRET,
            encryption_key=SECRET,
            project_url=projects.url,
            recordings_dir=folder,
            sweep_seconds=600,
        )
        client: TestClient[web.Request, web.Application] = TestClient(TestServer(build_app(settings, InMemoryBus())))
        async with client:
            yield Customer(client, projects.tenant)


async def test_a_contact_of_a_batch(db: Database, calls_url: str, tmp_path: Path, fault: str) -> None:
    """From its claim to the completion of its batch."""
    mortals, recorder, projects, uploaded = Mortals(db, calls_url, tmp_path), Recorder(db), FakeProjects(), 0
    async with serving(calls_url, tmp_path, projects) as customer:

        async def prepare() -> None:
            nonlocal uploaded
            uploaded += 1
            await upload(customer, projects, csv_of(1, uploaded))

        deaths = await mortals.die_everywhere(fault, prepare)
    assert deaths > 40
    calls = await db.fetch("SELECT id, batch_id, reason FROM calls")
    assert len(calls) == len({call["batch_id"] for call in calls}) == uploaded, "each contact has one call"
    recorder.history += [Accepted(str(call["id"])) for call in calls]
    recorder.dialled(*mortals.carrier.dialled)
    batches = {str(call["batch_id"]) for call in calls}
    assert [found for found in await recorder.outcome() if found.split(":")[0] not in batches] == []
    assert len(mortals.carrier.numbers) == len(set(mortals.carrier.numbers))
    assert await db.fetchval("SELECT count(*) FROM batches WHERE active <> 0 OR status <> 'completed'") == 0
