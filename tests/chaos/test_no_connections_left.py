"""A process has no connection to Postgres left: who asks hears so in time, and live calls go on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.calls.domain import Status
from call_service.settings import CallApiSettings
from shared.background import running
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.resources import DATABASE
from shared.testing.waiting import eventually
from tests.support.calls import SECRET, Customer
from tests.support.recorder import Recorder
from tests.support.workers import Switchboard, queue, read, sweeper, working

POOL = 4


@asynccontextmanager
async def all_taken(db: Database) -> AsyncIterator[None]:
    """Every connection of the pool is in use."""
    async with AsyncExitStack() as held:
        for _ in range(POOL):
            await held.enter_async_context(db.connection())
        yield


@pytest.mark.timeout(60)
async def test_an_api_whose_pool_is_exhausted(db: Database, calls_url: str, tmp_path: Path) -> None:
    settings = CallApiSettings(
        database_url=calls_url,
        database_pool_size=POOL,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        recordings_dir=tmp_path,
    )
    app, tenant = build_app(settings, InMemoryBus()), new_id()
    call_id = await queue(db, tenant=tenant)
    async with TestClient(TestServer(app)) as client:
        customer = Customer(client, tenant)
        async with all_taken(app[DATABASE]), asyncio.timeout(app[DATABASE].acquire_timeout_seconds + 15):
            ready, *answers = await asyncio.gather(
                client.get("/health/ready"),
                *(customer.ask("GET", f"/call/{call_id}") for _ in range(20)),
                customer.ask("POST", f"/call/{call_id}/cancel"),
            )
        assert {(status, answer["code"]) for status, answer in answers} == {(503, "database_unavailable")}
        assert ready.status == 503
        assert (await customer.ask("POST", f"/call/{call_id}/cancel"))[0] == 200
        assert (await client.get("/health/ready")).status == 200


@pytest.mark.timeout(60)
async def test_a_worker_whose_pool_is_exhausted_keeps_its_call(db: Database, calls_url: str, tmp_path: Path) -> None:
    recorder, carrier = Recorder(db), Switchboard(answers=0)
    own = await Database.connect(calls_url, "calls", max_size=POOL)
    own.acquire_timeout_seconds = 0.5
    async with (
        working(own, carrier, tmp_path, heartbeat_seconds=0.5),
        running(sweeper(db, tmp_path).run(), "sweeper"),
    ):
        call_id = await recorder.make()

        async def is_live() -> bool:
            return (await read(db, call_id)).status is Status.IN_PROGRESS

        await eventually(is_live)
        async with all_taken(own):
            carrier.legs[call_id].end()
            await asyncio.sleep(3)  # six times as long as it waits for a connection
            assert await is_live()

        async def is_complete() -> bool:
            return (await read(db, call_id)).completed_at is not None

        await eventually(is_complete)
    await own.close()
    recorder.dialled(*carrier.dialled)
    assert await recorder.outcome() == []
    assert ((await read(db, call_id)).status, (await read(db, call_id)).reason) == (Status.COMPLETED, "callee_hung_up")
