"""`python -m deploy.settings_docs`: writes docs/settings.md from the settings classes."""

from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from auth_service.settings import AuthSettings
from call_service.settings import CallApiSettings, WorkerSettings
from gateway.settings import GatewaySettings
from project_service.settings import ProjectSettings, WebhookSettings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
PROCESSES: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("gateway", GatewaySettings),
    ("auth_service api", AuthSettings),
    ("project_service api", ProjectSettings),
    ("project_service webhooks", WebhookSettings),
    ("call_service api", CallApiSettings),
    ("call_service worker", WorkerSettings),
)
HEAD = """# Settings

Every process reads its settings from the environment at its start. It does not start with a wrong one: it names the
variable and exits with status 78. This page is made from the code by `python -m deploy.settings_docs`.

`make up` sets what is required. Whatever you set in your own environment wins, but for what ties its processes
together: `HOST` is 127.0.0.1, `PORT` the gateway's alone, `AUTH_URL`, `PROJECT_URL` and `CALL_URL` are the processes it
starts, and on the server of your `DATABASE_URL` each service gets a role and a schema of its own.
"""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None or str(value) in {"", "()"} or "SecretStr" in repr(value):
        return "none"
    return f"`{','.join(map(str, value)) if isinstance(value, tuple) else value}`"


def _rows(settings: type[BaseSettings]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        yield f"| `{name.upper()}` | {_default(field)} | {field.description} |"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for process, settings in PROCESSES:
        parts += [
            f"\n## `python -m {process}`\n",
            "| variable | default | meaning |",
            "|---|---|---|",
            *_rows(settings),
        ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
