"""Settings, Postgres, RabbitMQ and the migrations."""

from pathlib import Path

import aio_pika
import asyncpg
from alembic.script import ScriptDirectory
from pydantic import ValidationError

from deploy.doctor.hops import BrokenError, SkippedError
from deploy.doctor.site import DATABASES, SETTINGS, Environment, Process, Site, environment, without_secret

ROOT = Path(__file__).parents[2]
CONNECT_SECONDS = 4.0


async def settings(site: Site) -> str:
    """Every process could start with its settings."""
    known = [process for process in site.processes if process.env is not None]
    if not known:
        raise SkippedError("no process's settings are in this environment")
    problems = [problem for process in known for problem in _problems(process)]
    if problems:
        hint = "docs/settings.md lists them all; set it right in the environment of that process, and start it again"
        raise BrokenError("; ".join(problems), hint)
    return f"of {', '.join(process.name for process in known)}"


def _problems(process: Process) -> list[str]:
    try:
        with environment(process.env or {}):
            SETTINGS[process.name]()  # type: ignore[call-arg] # read from the environment
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return [f"{process.name}: {'_'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in found]
    return []


async def postgres(site: Site) -> str:
    """Every service's role can log in."""
    _need_running(site)
    if not site.dsns:
        raise SkippedError("no DATABASE_URL is in this environment")
    version = 0
    for role, dsn in site.dsns.items():
        try:
            connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS)
        except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
            hint = "the password in DATABASE_URL isn't the role's: ALTER ROLE … PASSWORD …, or mend the URL"
            raise BrokenError(f"{role}: {error}", hint) from error
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            detail = f"{role} at {without_secret(dsn)}: {str(error) or type(error).__name__}"
            raise BrokenError(detail, "start Postgres, or mend DATABASE_URL; `make logs NAME=postgres`") from error
        version = connection.get_server_version().major
        await connection.close()
    return f"{', '.join(site.dsns)}: version {version} at {without_secret(next(iter(site.dsns.values())))}"


async def rabbitmq(site: Site) -> str:
    """The broker lets us in."""
    _need_running(site)
    if not site.amqp_url:
        is_known = any(process.env is not None for process in site.processes)
        raise SkippedError(
            f"no AMQP_URL{': events stay within their process' if is_known else ' is in this environment'}"
        )
    try:
        connection = await aio_pika.connect(site.amqp_url, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError, aio_pika.exceptions.AMQPError) as error:
        detail = f"{without_secret(site.amqp_url)}: {str(error) or type(error).__name__}"
        hint = "start RabbitMQ, or mend AMQP_URL (host, user, password, virtual host); `make logs NAME=rabbitmq`"
        raise BrokenError(detail, hint) from error
    await connection.close()
    return f"at {without_secret(site.amqp_url)}"


async def migrations(site: Site) -> str:
    """Every schema is where the code wants it."""
    _need_running(site)
    if not site.dsns:
        raise SkippedError("no DATABASE_URL is in this environment")
    at_head = []
    for role, dsn in site.dsns.items():
        package, settings_class = DATABASES[role]
        schema = _schema(site, role) or str(settings_class.model_fields["database_schema"].default)
        head = ScriptDirectory(str(ROOT / package / "migrations")).get_current_head()
        found = await _revision(dsn, schema)
        if found != head:
            detail = f"the schema {schema} is at {found or 'nothing'}, the code wants {head}"
            raise BrokenError(detail, f"python -m {package} migrate (`make down up` does it too)")
        at_head.append(f"{schema} {head}")
    return ", ".join(at_head)


def _schema(site: Site, role: str) -> str | None:
    names = {"auth": "auth-api", "projects": "project-api", "calls": "call-worker"}
    env: Environment = site.process(names[role]).env or {}
    return env.get("DATABASE_SCHEMA")


async def _revision(dsn: str, schema: str) -> str | None:
    connection = await asyncpg.connect(dsn, timeout=CONNECT_SECONDS, server_settings={"search_path": schema})
    try:
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    finally:
        await connection.close()
    return found


def _need_running(site: Site) -> None:
    if site.problem:
        raise SkippedError(site.problem)
