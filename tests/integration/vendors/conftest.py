"""A migrated database of call_service."""

from collections.abc import AsyncIterator

import pytest

from shared.db import Database
from tests.support.calls import MIGRATIONS
from tests.support.databases import Tables


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables("calls", MIGRATIONS)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url, "calls", max_size=4)
    yield database
    await database.close()
