"""One whole stack for the tests that need it: every service in its own process, real Postgres, RabbitMQ and speech.

The others have a database with the tables of calls.
"""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.stack import Stack
from shared.db import Database
from shared.migrations import migrate
from tests.support.calls import MIGRATIONS

SETTINGS = {
    "RING_TIMEOUT_SECONDS": "6",
    "DRAIN_SECONDS": "90",
    "PASSWORD_HASH_THREADS": "1",
    "SWEEP_SECONDS": "1",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with await Stack.start(tmp_path_factory.mktemp("stack"), extra_env=SETTINGS) as running:
        yield running
        running.at_once.set()


@pytest_asyncio.fixture(loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client


@pytest.fixture
async def calls_url(database_url: str) -> str:
    await migrate(database_url, "calls", MIGRATIONS)
    return database_url


@pytest.fixture
async def db(calls_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(calls_url, "calls", max_size=6)
    yield database
    await database.close()
