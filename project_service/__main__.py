"""`python -m project_service api|webhooks|migrate|render-preview`."""

from pathlib import Path

import click

from project_service.settings import ProjectSettings, WebhookSettings
from project_service.voices.catalogue import catalogue
from shared.settings import load_settings

MIGRATIONS = Path(__file__).parent / "migrations"


@click.group()
def main() -> None:
    """Projects, agents, voices, phone numbers and webhooks."""


@main.command()
def api() -> None:
    """Serve the HTTP API and relay events."""
    from project_service.app import SERVICE, build_app  # noqa: PLC0415 - each role loads what it needs only
    from shared.http import run  # noqa: PLC0415 - as above

    settings = load_settings(ProjectSettings)
    run(lambda: build_app(settings), settings, SERVICE)


@main.command()
def webhooks() -> None:
    """Deliver call events to customers' URLs."""
    from project_service.app import WORKER, build_webhooks_app  # noqa: PLC0415 - as above
    from shared.http import run  # noqa: PLC0415 - as above

    settings = load_settings(WebhookSettings)
    run(lambda: build_webhooks_app(settings), settings, WORKER)


@main.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    from shared.migrations import run_migrations  # noqa: PLC0415 - SQLAlchemy is needed here only

    settings = load_settings(ProjectSettings)
    run_migrations(str(settings.database_url), settings.database_schema, MIGRATIONS)


@main.command()
@click.argument("voice", type=click.Choice(list(catalogue())))
@click.argument("path", type=click.Path(path_type=Path))
def render_preview(voice: str, path: Path) -> None:
    """Write the preview of VOICE to PATH as a WAV file; needs the speech extra."""
    try:
        from project_service.voices.rendering import render  # noqa: PLC0415 - loads the engine

        render(catalogue()[voice], path)
    except (ImportError, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
