"""One whole stack for the tests that need it: every service in its own process, real Postgres, RabbitMQ and speech.

The others have a database with the tables of calls.
"""

from collections.abc import AsyncIterator

import pytest

from shared.db import Database
from tests.support.calls import MIGRATIONS
from tests.support.databases import Tables
from tests.support.whole_stack import QUICK, session, stack

__all__ = ["session", "stack"]

SETTINGS = {**QUICK, "SWEEP_SECONDS": "1"}


@pytest.fixture(scope="session")
def stack_settings() -> dict[str, str]:
    return SETTINGS


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables("calls", MIGRATIONS)


@pytest.fixture(autouse=True)
def without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncpg leaves an error that nobody collects, when it ends while it asks whether the server speaks TLS."""
    monkeypatch.setenv("PGSSLMODE", "disable")


@pytest.fixture
def calls_url(database_url: str) -> str:
    return database_url


@pytest.fixture
async def db(calls_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(calls_url, "calls", max_size=6)
    yield database
    await database.close()
