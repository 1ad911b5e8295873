"""One whole stack for these tests: every service in its own process, real Postgres, RabbitMQ and speech."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.stack import Stack

# These tests are one client with many customers.
LIMITS = dict.fromkeys(("LIMIT_IP", "LIMIT_AUTH", "LIMIT_USER", "LIMIT_KEY"), "1000000/1")
SETTINGS = {"RING_TIMEOUT_SECONDS": "6", "DRAIN_SECONDS": "90", "PASSWORD_HASH_THREADS": "1", **LIMITS}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with await Stack.start(tmp_path_factory.mktemp("stack"), extra_env=SETTINGS) as running:
        yield running
        running.at_once.set()


@pytest_asyncio.fixture(loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as client:
        yield client
