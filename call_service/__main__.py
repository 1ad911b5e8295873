"""`python -m call_service api|worker|migrate`."""

from pathlib import Path

import click

from call_service.settings import CallApiSettings, CallSettings, WorkerSettings
from shared.settings import load_settings


@click.group()
def main() -> None:
    """The call service: makes calls and talks."""


@main.command()
def api() -> None:
    """Serve the HTTP API, relay events, end the calls of lost workers."""
    from call_service.app import SERVICE, build_app  # noqa: PLC0415 - a worker needs none of this
    from shared.http import run  # noqa: PLC0415

    settings = load_settings(CallApiSettings)
    run(lambda: build_app(settings), settings, SERVICE)


@main.command()
def worker() -> None:
    """Dial queued calls and hold the conversations."""
    from call_service.dialer.app import build_app  # noqa: PLC0415 - loads the speech engines
    from shared.http import run  # noqa: PLC0415

    settings = load_settings(WorkerSettings)
    run(lambda: build_app(settings), settings, "call_worker")


@main.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    from shared.migrations import run_migrations  # noqa: PLC0415 - SQLAlchemy is needed here only

    settings = load_settings(CallSettings)
    run_migrations(str(settings.database_url), settings.database_schema, Path(__file__).parent / "migrations")


if __name__ == "__main__":
    main()
