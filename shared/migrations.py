"""Forward-only migrations with Alembic, run from code; each service keeps its own in `<service>/migrations/versions`.

Migrations are plain SQL (`op.execute`). They take an advisory lock, so that processes starting together don't race, and
give up waiting for a table lock after 5 s instead of stalling the traffic behind it.
"""

import asyncio
from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateSchema

_LOCK = 7_261_001  # any number that is ours: pg_advisory_xact_lock


def _upgrade(connection: Connection, script: ScriptDirectory, schema: str) -> None:
    connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if not connection.scalar(text("SELECT 1 FROM pg_namespace WHERE nspname = :schema"), {"schema": schema}):
        connection.execute(CreateSchema(schema))
    connection.execute(text("SELECT set_config('search_path', :schema, true)"), {"schema": schema})
    config = Config()
    with EnvironmentContext(
        config,
        script,
        fn=lambda revision, _context: script._upgrade_revs("head", revision),  # noqa: SLF001
    ) as environment:
        environment.configure(connection=connection, version_table_schema=schema, transactional_ddl=True)
        with environment.begin_transaction():
            environment.run_migrations()


async def migrate(dsn: str, schema: str, directory: Path) -> None:
    """Bring `schema` to the newest revision in `directory` (a folder with `versions/`). Idempotent."""
    script = ScriptDirectory(str(directory))
    url = dsn.replace("postgresql://", "postgresql+asyncpg://").replace("postgres://", "postgresql+asyncpg://")
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, script, schema)
    finally:
        await engine.dispose()


def run_migrations(dsn: str, schema: str, directory: Path) -> None:
    """`migrate` for a command line."""
    asyncio.run(migrate(dsn, schema, directory))
