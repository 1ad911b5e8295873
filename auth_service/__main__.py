"""`python -m auth_service api|migrate`."""

from pathlib import Path

import click

from auth_service.app import build_app
from auth_service.settings import AuthSettings
from shared.http import run
from shared.settings import load_settings

MIGRATIONS = Path(__file__).parent / "migrations"


@click.group()
def main() -> None:
    """Accounts, sessions and API keys."""


@main.command()
def api() -> None:
    """Serve the HTTP API."""
    settings = load_settings(AuthSettings)
    run(lambda: build_app(settings), settings, "auth_service")


@main.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    from shared.migrations import run_migrations  # noqa: PLC0415 - SQLAlchemy is 25 MB that the API does not need

    settings = load_settings(AuthSettings)
    run_migrations(str(settings.database_url), settings.database_schema, MIGRATIONS)


if __name__ == "__main__":
    main()
