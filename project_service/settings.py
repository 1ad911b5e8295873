"""Settings of project_service: its API process and its webhook worker."""

from pathlib import Path
from typing import Self

from pydantic import Field, HttpUrl, SecretStr, model_validator

from shared.providers import BaseUrls
from shared.settings import ServiceSettings


class ProjectSettings(ServiceSettings):
    """What the API process and the webhook worker share."""

    database_schema: str = Field("projects", description="Postgres schema of this service.")
    public_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8080"), description="Base of the links in answers.")
    encryption_key: SecretStr = Field(
        min_length=32,
        description="Encrypts webhook secrets and providers' keys at rest; several, separated by commas, while it is "
        "changed (the first one encrypts).",
    )
    webhook_allow_private: bool = Field(
        False, description="Lets webhooks call http:// and private addresses; for local use only."
    )
    provider_base_urls: BaseUrls = Field(
        {}, description='Where vendors are reached instead of at their own place: JSON, `{"deepgram": "https://…/v1"}`.'
    )
    provider_allow_private: bool = Field(
        False, description="Lets customers' own model servers be at http:// and private addresses."
    )
    tool_allow_private: bool = Field(
        False, description="Lets agents' tools call http:// and private addresses; for local use only."
    )
    previews_dir: Path = Field(Path("var/previews"), description="Where rendered voice previews are kept.")


class WebhookSettings(ProjectSettings):
    """The webhook worker."""

    webhook_concurrency: int = Field(
        400, ge=1, le=2000, description="Deliveries that one worker has under way; a quarter of them one customer's."
    )
    webhook_timeout_seconds: float = Field(15, gt=0, le=60, description="How long one attempt may take.")
    webhook_lease_seconds: float = Field(
        45, gt=0, description="How long a delivery belongs to a worker that gives no sign; longer than an attempt."
    )
    webhook_log_days: int = Field(30, ge=1, description="How long finished deliveries stay in the log.")

    @model_validator(mode="after")
    def _leases_outlive_attempts(self) -> Self:
        """What is sent for longer than it belongs to its worker would be sent for ever, by one after the other."""
        if self.webhook_lease_seconds <= self.webhook_timeout_seconds:
            raise ValueError("WEBHOOK_LEASE_SECONDS must be longer than WEBHOOK_TIMEOUT_SECONDS")
        return self
