"""What goes wrong once and not again is told apart from what is wrong."""

import pytest

from shared.db import Database, DatabaseUnavailableError


async def test_a_statement_that_a_migration_overtook_may_be_tried_again(db: Database) -> None:
    async def read() -> None:
        async with db.transaction() as tx:
            await tx.fetch("SELECT * FROM effects")

    await read()
    await db.execute("ALTER TABLE effects ADD COLUMN later integer")
    with pytest.raises(DatabaseUnavailableError):
        await read()
    await read()
