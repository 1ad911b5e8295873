from collections.abc import AsyncIterator

import pytest

from shared.db import Database
from shared.inbox import INBOX_TABLE
from shared.outbox import OUTBOX_TABLES

SCHEMA = "shop"


async def prepare(dsn: str) -> Database:
    db = await Database.connect(dsn, SCHEMA)
    await db.execute(f"CREATE SCHEMA {SCHEMA}")
    await db.execute(OUTBOX_TABLES)
    await db.execute(INBOX_TABLE)
    await db.execute("CREATE TABLE effects (event_id uuid NOT NULL)")
    return db


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A service's database with an outbox, an inbox, and a table for what handlers do."""
    database = await prepare(database_url)
    yield database
    await database.close()
