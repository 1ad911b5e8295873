"""The services' roles and schemas, on a server of this test alone: roles belong to a whole server."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.databases import ROLES, dsn_for, prepare
from deploy.local.postgres import start_postgres
from deploy.local.system import StartError


@pytest.fixture
async def admin(tmp_path: Path) -> AsyncIterator[str]:
    server, dsn = await start_postgres(tmp_path / "server")
    yield dsn
    await server.stop()


async def run(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def test_each_role_owns_its_schema_and_a_second_time_changes_nothing(admin: str, tmp_path: Path) -> None:
    first = await prepare(admin, tmp_path / "secrets")
    for role, dsn in first.items():
        await run(dsn, f"CREATE TABLE {role}.mine (id int)")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await run(first["calls"], "SELECT * FROM auth.mine")
    assert await prepare(admin, tmp_path / "secrets") == first


async def test_an_administrator_without_superuser_rights_is_enough(admin: str, tmp_path: Path) -> None:
    await run(admin, "CREATE ROLE helper LOGIN PASSWORD 'h' CREATEDB CREATEROLE")
    dsns = await prepare(dsn_for(admin, user="helper", password="h"), tmp_path / "secrets")
    await run(dsns["auth"], "CREATE TABLE auth.mine (id int)")


async def test_a_user_without_such_rights_serves_all_services(admin: str, tmp_path: Path) -> None:
    await run(admin, "CREATE ROLE plain LOGIN PASSWORD 'p'", "CREATE DATABASE plain OWNER plain")
    dsn, said = dsn_for(admin, user="plain", password="p", database="plain"), list[str]()
    assert await prepare(dsn, tmp_path / "secrets", said.append) == dict.fromkeys(ROLES, dsn)
    assert said == [
        "This Postgres user may not create roles or databases: the services share its rights and its database."
    ]


async def test_a_role_of_another_installation_is_not_taken_over(admin: str, tmp_path: Path) -> None:
    await prepare(admin, tmp_path / "secrets")
    with pytest.raises(StartError, match=r'password authentication failed for user "auth".*drop that role there'):
        await prepare(admin, tmp_path / "other secrets")


@pytest.mark.parametrize("dsn", ["postgresql://u:p@127.0.0.1:1/x", "nonsense"])
async def test_a_server_that_cannot_be_reached_is_one_clear_sentence(dsn: str, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"^Postgres at \S+ cannot be used: .*\.$"):
        await prepare(dsn, tmp_path / "secrets")
