"""Settings come from the environment, are frozen, and fail at start naming the variable."""

import sys
from typing import Any, Literal, TypeVar

from pydantic import AmqpDsn, Field, PostgresDsn, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

SettingsType = TypeVar("SettingsType", bound=BaseSettings)


class ProcessSettings(BaseSettings):
    """What every process has."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the API, or of health and metrics for a worker.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged.")
    log_format: Literal["json", "text"] = Field("json", description="One JSON object a line, or text for people.")
    internal_token_secret: SecretStr = Field(
        min_length=32, description="Shared by gateway and services: signs the 30 s internal tokens (HMAC-SHA256)."
    )
    drain_seconds: int = Field(30, ge=0, description="How long running work may finish after SIGTERM.")


class ServiceSettings(ProcessSettings):
    """What every service with a database and events has."""

    database_url: PostgresDsn = Field(description="Postgres DSN of this service's own role.")
    database_pool_size: int = Field(10, ge=1, le=200, description="Most connections of one process.")
    amqp_url: AmqpDsn | None = Field(None, description="RabbitMQ URL; without one events stay in this process.")


def load_settings(settings: type[SettingsType], **given: Any) -> SettingsType:
    """Read the environment (`given` wins), or exit with status 78 (EX_CONFIG) naming each wrong variable."""
    try:
        return settings(**given)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = "_".join(str(part) for part in problem["loc"]).upper() or "combination"
            print(f"setting {name}: {problem['msg']}", file=sys.stderr)  # noqa: T201 - logging is not set up yet
        raise SystemExit(78) from None
