"""Where the parts of a deployment are, and with which settings."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from auth_service.settings import AuthSettings
from call_service.settings import CallApiSettings, WorkerSettings
from gateway.settings import GatewaySettings
from project_service.settings import ProjectSettings, WebhookSettings
from shared.settings import ProcessSettings, ServiceSettings

Environment = Mapping[str, str]

SETTINGS: Mapping[str, type[ProcessSettings]] = {
    "auth-api": AuthSettings,
    "project-api": ProjectSettings,
    "project-webhooks": WebhookSettings,
    "call-api": CallApiSettings,
    "call-worker": WorkerSettings,
    "gateway": GatewaySettings,
}
"""By the names of processes in `make status`."""

DATABASES: Mapping[str, tuple[str, type[ServiceSettings]]] = {
    "auth": ("auth_service", AuthSettings),
    "projects": ("project_service", ProjectSettings),
    "calls": ("call_service", CallApiSettings),
}
"""The package with the migrations, by database role."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the deployment: its settings, None where they aren't known here, and the base URLs it answers at.

    `pid` is 0 while it doesn't run, None where that isn't known.
    """

    name: str
    env: Environment | None = None
    urls: tuple[str, ...] = ()
    pid: int | None = None


@dataclass(frozen=True, slots=True)
class Site:
    """A deployment. `problem` says why nothing of it can be asked; `dsns` is by role; `key` is an API key."""

    title: str
    url: str
    key: str = ""
    processes: tuple[Process, ...] = ()
    dsns: Mapping[str, str] = field(default_factory=dict)
    amqp_url: str = ""
    problem: str = ""

    def process(self, name: str) -> Process:
        """The process with this name; one of which nothing is known when there is none."""
        return next((process for process in self.processes if process.name == name), Process(name))


@contextmanager
def environment(env: Environment) -> Iterator[None]:
    """In this block the settings classes read `env`."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def worker_settings(site: Site) -> WorkerSettings | None:
    """Those of the worker, None where they aren't known or are wrong."""
    env = site.process("call-worker").env
    if env is None:
        return None
    try:
        with environment(env):
            return WorkerSettings()  # type: ignore[call-arg] # read from the environment
    except ValueError:
        return None


def without_secret(url: str) -> str:
    """A URL's host, port and path."""
    parts = urlsplit(url)
    return f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"


def site_of_environment(env: Environment) -> Site:
    """What the environment tells: that of a worker's own, or URLs of a deployment elsewhere."""
    is_process = "DATABASE_URL" in env or "INTERNAL_TOKEN_SECRET" in env
    url = env.get("TALKSTACK_URL") or env.get("PUBLIC_URL") or "http://127.0.0.1:8080"
    own = f"http://127.0.0.1:{env.get('PORT') or 8080}" if is_process else ""
    urls = {
        "auth-api": env.get("AUTH_URL", ""),
        "project-api": env.get("PROJECT_URL", ""),
        "project-webhooks": env.get("WEBHOOKS_URL", ""),
        "call-api": env.get("CALL_URL", ""),
        "call-worker": env.get("WORKER_URL") or own,
        "gateway": url,
    }
    dsns = {role: env.get(f"{role.upper()}_DATABASE_URL", "") for role in DATABASES}
    dsns["calls"] = dsns["calls"] or env.get("DATABASE_URL", "")
    return Site(
        title=f"the deployment at {url}",
        url=url.rstrip("/"),
        key=env.get("TALKSTACK_API_KEY", ""),
        processes=tuple(
            Process(name, env if is_process and name == "call-worker" else None, _split(urls[name]))
            for name in SETTINGS
        ),
        dsns={role: dsn for role, dsn in dsns.items() if dsn},
        amqp_url=env.get("AMQP_URL", ""),
    )


def _split(urls: str) -> tuple[str, ...]:
    return tuple(url.strip().rstrip("/") for url in urls.split(",") if url.strip())
