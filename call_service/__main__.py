"""`python -m call_service api|worker|migrate|restore-epoch`."""

import asyncio
from pathlib import Path

import click

from call_service.settings import CallApiSettings, CallSettings, WorkerSettings
from shared.db import Database
from shared.errors import ApiError
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


@main.command()
def restore_epoch() -> None:
    """After restoring a backup, before any other process starts: call nobody whom the lost hours may have called."""
    from call_service.restore import begin_epoch  # noqa: PLC0415 - it is needed here only

    settings = load_settings(CallSettings)

    async def work() -> None:
        db = await Database.connect(
            str(settings.database_url), settings.database_schema, max_size=1, command_timeout_seconds=3600
        )
        try:
            parked = await begin_epoch(db, str(settings.public_url))
        finally:
            await db.close()
        click.echo(f"{parked.calls} queued calls and {parked.contacts} contacts will not be dialled.")

    try:
        asyncio.run(work())
    except ApiError as error:
        raise click.ClickException(error.message) from error


if __name__ == "__main__":
    main()
