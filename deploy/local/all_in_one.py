"""Everything in one process, with events inside it: the local start where RabbitMQ can't be had.

The same applications as in their own processes; what is lost is what a broker gives: an event that was published and
not yet handled is gone when the process ends.
"""

import os
from collections.abc import Sequence

from auth_service.app import build_app as build_auth
from auth_service.settings import AuthSettings
from call_service.app import build_app as build_calls
from call_service.dialer.app import build_app as build_worker
from call_service.settings import CallApiSettings, WorkerSettings
from deploy.local.system import free_port
from gateway.app import build_app as build_gateway
from gateway.settings import GatewaySettings
from project_service.app import build_app as build_projects
from project_service.app import build_webhooks_app
from project_service.settings import ProjectSettings, WebhookSettings
from shared.http import Hosted, run_all
from shared.memory_bus import InMemoryBus
from shared.settings import load_settings


def hosted(gateway: GatewaySettings) -> Sequence[Hosted]:
    """The applications, each behind those it calls."""
    bus = InMemoryBus()
    auth_port, project_port, call_port = (_port_of(url) for url in _URLS)
    auth = load_settings(AuthSettings, port=auth_port, database_url=os.environ["AUTH_DATABASE_URL"])
    projects = {"database_url": os.environ["PROJECTS_DATABASE_URL"]}
    calls = {"database_url": os.environ["CALLS_DATABASE_URL"]}
    project = load_settings(ProjectSettings, port=project_port, **projects)
    webhooks = load_settings(WebhookSettings, port=free_port(), **projects)
    call = load_settings(CallApiSettings, port=call_port, **calls)
    worker = load_settings(WorkerSettings, port=free_port(), **calls)
    return [
        Hosted(build_auth(auth, bus), auth),
        Hosted(build_projects(project, bus), project),
        Hosted(build_webhooks_app(webhooks, bus), webhooks),
        Hosted(build_calls(call, bus), call),
        Hosted(build_worker(worker), worker),
        Hosted(build_gateway(gateway, bus), gateway),
    ]


_URLS = ("AUTH_URL", "PROJECT_URL", "CALL_URL")


def _port_of(name: str) -> int:
    return int(os.environ[name].rstrip("/").rpartition(":")[2])


def main() -> None:
    for name in _URLS:
        os.environ[name] = f"http://127.0.0.1:{free_port()}"
    settings = load_settings(GatewaySettings)
    run_all(lambda: hosted(settings), settings, "all_in_one")


if __name__ == "__main__":
    main()
