"""`Database.joined`: many transactions of one task become one."""

import asyncio

import pytest

from shared.db import Database, Tx
from shared.ids import new_id


async def _nothing(_tx: Tx) -> None:
    return


async def _add(db: Database) -> None:
    async with db.transaction() as tx:
        await tx.execute("INSERT INTO effects VALUES ($1)", new_id())


async def _count(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM effects"))


async def test_what_a_task_did_commits_together_and_other_tasks_stand_apart(db: Database) -> None:
    async def fail() -> None:
        async with db.joined(_nothing):
            await _add(db)
            await _add(db)
            assert await _count(db) == 2
            assert await asyncio.create_task(_count(db)) == 0
            await asyncio.create_task(_add(db))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await _count(db) == 1
    async with db.joined(_nothing):
        await _add(db)
        await _add(db)
    assert await _count(db) == 3


async def test_it_begins_once_and_only_when_it_is_needed(db: Database) -> None:
    begun = []

    async def note(tx: Tx) -> None:
        begun.append(await tx.fetchval("SELECT txid_current()"))

    async with db.joined(note) as unit:
        await _count(db)
        assert begun == []
        await _add(db)
        await (await unit.begin()).execute("INSERT INTO effects VALUES ($1)", new_id())
    assert len(begun) == 1
    assert await _count(db) == 2
    await _add(db)
    assert len(begun) == 1


async def test_what_its_beginning_raises_ends_it_and_gives_the_connection_back(db: Database) -> None:
    async def refuse(_tx: Tx) -> None:
        raise LookupError

    for _ in range(20):  # more than the pool has
        with pytest.raises(LookupError):
            async with db.joined(refuse):
                await _add(db)
    assert await _count(db) == 0


async def test_another_database_does_not_join(db: Database, database_url: str) -> None:
    other = await Database.connect(database_url, db.schema)

    async def fail() -> None:
        async with db.joined(_nothing):
            await _add(db)
            await _add(other)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await _count(db) == 1
    await other.close()
