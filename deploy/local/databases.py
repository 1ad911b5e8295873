"""The database, roles and schemas of the services in a Postgres server."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.local.keys import secret
from deploy.local.system import Report, StartError, say

DATABASE = "talkstack"
ROLES = ("auth", "projects", "calls")  # each owns the schema of its own name


def dsn_for(dsn: str, *, user: str | None = None, password: str = "", database: str | None = None) -> str:
    """The same server for another role or database; a role's password must be URL-safe."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    netloc = f"{user}:{password}@{host}" if user else parts.netloc
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}" if database else parts.path))


async def prepare(admin_dsn: str, secrets: Path, report: Report = say) -> dict[str, str]:
    """Make the database, and a role and schema for each service; safe to repeat. Returns a DSN by role.

    A server that lets its user create no roles serves all of them under that user, each in its own schema.

    Raises:
        StartError: the server cannot be reached, or refuses this too.
    """
    try:
        return await _prepare(admin_dsn, secrets)
    except asyncpg.InvalidPasswordError as error:
        raise StartError(
            f"Postgres refused a log-in ({error}): drop that role there, or name another server."
        ) from error
    except asyncpg.InsufficientPrivilegeError:
        report("This Postgres user may not create roles or databases: the services share its rights and its database.")
        return dict.fromkeys(ROLES, admin_dsn)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"Postgres at {urlsplit(admin_dsn).hostname} cannot be used: {error}.") from error


async def _prepare(admin_dsn: str, secrets: Path) -> dict[str, str]:
    async with _connected(admin_dsn) as connection:
        await _create(connection, "SELECT FROM pg_database WHERE datname = $1", ["CREATE DATABASE %1$I"], DATABASE)
    database = dsn_for(admin_dsn, database=DATABASE)
    dsns = {role: dsn_for(database, user=role, password=secret(secrets, f"database-{role}")) for role in ROLES}
    async with _connected(database) as connection:
        for role in ROLES:
            # The grant lets an administrator who is no superuser give the role its schema.
            new_role = ["CREATE ROLE %1$I LOGIN PASSWORD %2$L", "GRANT %1$I TO CURRENT_USER"]
            new_schema = ["CREATE SCHEMA %1$I AUTHORIZATION %1$I"]
            password = secret(secrets, f"database-{role}")
            await _create(connection, "SELECT FROM pg_roles WHERE rolname = $1", new_role, role, password)
            await _create(connection, "SELECT FROM pg_namespace WHERE nspname = $1", new_schema, role)
    for dsn in dsns.values():
        async with _connected(dsn):
            pass
    return dsns


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def _create(connection: asyncpg.Connection, exists: str, statements: Sequence[str], *values: str) -> None:
    """Run statements about `values` unless the first of them exists; the server itself does the quoting."""
    if await connection.fetchrow(exists, values[0]) is None:
        for statement in statements:
            quoted = await connection.fetchval("SELECT format($1, VARIADIC $2::text[])", statement, list(values))
            await connection.execute(quoted)
