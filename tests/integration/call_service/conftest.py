"""The API of call_service on a real database, beside a project service that knows one user's agents."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.settings import CallApiSettings
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from tests.support.calls import MIGRATIONS, SECRET, Customer, FakeProjects
from tests.support.databases import Tables


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables("calls", MIGRATIONS)


@pytest.fixture
async def projects() -> AsyncIterator[FakeProjects]:
    fake = FakeProjects()
    async with TestServer(fake.app()) as server:
        fake.url = str(server.make_url("/"))
        yield fake


@pytest.fixture
def calls_url(database_url: str) -> str:
    """A migrated database."""
    return database_url


@pytest.fixture
async def db(calls_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(calls_url, "calls", max_size=4)
    yield database
    await database.close()


@pytest.fixture
def bus() -> InMemoryBus:
    return InMemoryBus()


@pytest.fixture
async def client(
    calls_url: str, projects: FakeProjects, bus: InMemoryBus, tmp_path: Path
) -> AsyncIterator["TestClient[web.Request, web.Application]"]:
    settings = CallApiSettings(
        database_url=calls_url,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        project_url=projects.url,
        recordings_dir=tmp_path / "recordings",
        sweep_seconds=0.1,
        webhook_allow_private=True,
    )
    async with TestClient(TestServer(build_app(settings, bus))) as client:
        yield client


@pytest.fixture
def customer(client: "TestClient[web.Request, web.Application]", projects: FakeProjects) -> Customer:
    return Customer(client, projects.tenant)


@pytest.fixture
def stranger(client: "TestClient[web.Request, web.Application]") -> Customer:
    return Customer(client, new_id())
