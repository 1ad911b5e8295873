"""Fixtures of tests that need the whole stack; a `conftest` imports them, and says with what `stack_settings`."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.stack import Stack

# What all of them want: nobody waits long for a callee, and hashing does not take the cores.
QUICK = {"RING_TIMEOUT_SECONDS": "6", "DRAIN_SECONDS": "90"}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory, stack_settings: dict[str, str]) -> AsyncIterator[Stack]:
    """Every service in its own process, real Postgres, RabbitMQ and speech; one for all tests of a folder."""
    async with await Stack.start(tmp_path_factory.mktemp("stack"), extra_env=stack_settings) as running:
        yield running
        running.at_once.set()


@pytest_asyncio.fixture(loop_scope="session")
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """For requests to it."""
    async with aiohttp.ClientSession() as client:
        yield client
