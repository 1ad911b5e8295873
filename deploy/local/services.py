"""The processes of the product, and the environment that wires them together."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import aiohttp

from deploy.local.keys import secret
from deploy.local.system import StartError, free_port
from deploy.local.unit import Unit


@dataclass(frozen=True)
class Service:
    """A process `python -m <arguments>`; `role` names its database role, `url` the setting that leads to it."""

    name: str
    arguments: tuple[str, ...]
    role: str = ""
    url: str = ""
    stage: int = 1


SERVICES = (
    Service("auth-api", ("auth_service", "api"), "auth", "AUTH_URL"),
    Service("project-api", ("project_service", "api"), "projects", "PROJECT_URL"),
    Service("project-webhooks", ("project_service", "webhooks"), "projects"),
    Service("call-api", ("call_service", "api"), "calls", "CALL_URL"),
    Service("call-worker", ("call_service", "worker"), "calls", stage=2),
    Service("gateway", ("gateway",), stage=2),
)
MIGRATIONS = (
    Service("auth-migrate", ("auth_service", "migrate"), "auth"),
    Service("project-migrate", ("project_service", "migrate"), "projects"),
    Service("call-migrate", ("call_service", "migrate"), "calls"),
)
# Without RabbitMQ: everything in one process, events within it.
ALL_IN_ONE = (Service("gateway", ("deploy.local.all_in_one",), stage=2),)


@dataclass(frozen=True)
class Wiring:
    """Where the parts of one stack are. `dsns` is by role; no `amqp_url` means there is no RabbitMQ."""

    var: Path
    port: int
    dsns: Mapping[str, str]
    amqp_url: str | None
    user_env: Mapping[str, str]


def drain_limit(env: Mapping[str, str]) -> timedelta:
    """How long live calls may go on at a stop (`DRAIN_SECONDS`).

    Raises:
        StartError: it is no number.
    """
    try:
        return timedelta(seconds=int(env["DRAIN_SECONDS"]))
    except ValueError as error:
        raise StartError(f"DRAIN_SECONDS must be a whole number of seconds, not {env['DRAIN_SECONDS']!r}.") from error


def common_env(wiring: Wiring) -> dict[str, str]:
    """What every process gets: our defaults, then what the user has set, then what ties the processes together."""
    var, secrets = wiring.var, wiring.var / "secrets"
    defaults = {
        "PUBLIC_URL": f"http://127.0.0.1:{wiring.port}",
        "INTERNAL_TOKEN_SECRET": secret(secrets, "internal-token"),
        "ENCRYPTION_KEY": secret(secrets, "encryption-key"),
        "RECORDINGS_DIR": str(var / "recordings"),
        "PREVIEWS_DIR": str(var / "previews"),
        "WEBHOOK_ALLOW_PRIVATE": "true",
        "PROVIDER_ALLOW_PRIVATE": "true",
        "TOOL_ALLOW_PRIVATE": "true",
        "TRUNK_ALLOW_PRIVATE": "true",
        "LOG_FORMAT": "json",
        "DRAIN_SECONDS": "300",
        "PYTHONUNBUFFERED": "1",
    }
    if "SMTP_URL" not in wiring.user_env:
        defaults["MAIL_DIR"] = str(var / "mail")
    wired = {"HOST": "127.0.0.1"} | ({"AMQP_URL": wiring.amqp_url} if wiring.amqp_url else {})
    return {**defaults, **wiring.user_env, **wired}


def service_units(services: Sequence[Service], wiring: Wiring) -> list[Unit]:
    """Describe the processes with all their settings; the one called `gateway` gets the public port."""
    ports = {service.name: wiring.port if service.name == "gateway" else free_port() for service in services}
    addresses = {service.url: f"http://127.0.0.1:{ports[service.name]}" for service in services if service.url}
    common = {**common_env(wiring), **addresses}
    common |= {f"{role.upper()}_DATABASE_URL": dsn for role, dsn in wiring.dsns.items() if not wiring.amqp_url}
    return [_unit(service, ports[service.name], common, wiring) for service in services]


def _unit(service: Service, port: int, common: Mapping[str, str], wiring: Wiring) -> Unit:
    return Unit(
        name=service.name,
        argv=command(service),
        env={**common, "PORT": str(port), **database_env(service, wiring)},
        ready=partial(answers_ready, port),
        port=port,
        stage=service.stage,
        stop_limit=drain_limit(common) + timedelta(seconds=15),
    )


def command(service: Service) -> list[str]:
    """The command line of a process, with the Python that runs this."""
    return [sys.executable, "-m", *service.arguments]


def database_env(service: Service, wiring: Wiring) -> dict[str, str]:
    """The database of a process, as the role of its service."""
    return {"DATABASE_URL": wiring.dsns[service.role]} if service.role else {}


async def answers_ready(port: int) -> bool:
    """Ask `/health/ready` of a process on this machine."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
        session.get(f"http://127.0.0.1:{port}/health/ready") as response,
    ):
        return response.status == 200


def user_environment() -> dict[str, str]:
    """The environment of whoever started us, less what makes our own process special."""
    return {name: value for name, value in os.environ.items() if name not in {"HOST", "PORT"}}
