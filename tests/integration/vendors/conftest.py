"""A migrated database of call_service."""

from collections.abc import AsyncIterator

import pytest

from shared.db import Database
from shared.migrations import migrate
from tests.support.calls import MIGRATIONS


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    await migrate(database_url, "calls", MIGRATIONS)
    database = await Database.connect(database_url, "calls", max_size=4)
    yield database
    await database.close()
