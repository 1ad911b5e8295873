"""Settings of the gateway."""

from pathlib import Path
from typing import Self

from pydantic import AmqpDsn, BaseModel, ConfigDict, Field, model_validator

from gateway.fields import Allowance, CommaSeparated, Instances, Networks, Quota
from shared.settings import ProcessSettings


class Changeable(BaseModel):
    """What may change while the gateway runs, by a file (`gateway.reload`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    auth_url: Instances = Field(description="Base URLs of auth_service's instances, separated by commas.")
    project_url: Instances = Field(description="Base URLs of project_service's instances, separated by commas.")
    call_url: Instances = Field(description="Base URLs of call_service's instances, separated by commas.")

    limit_ip: Quota = Field(Allowance(6000, 60), description="Requests/seconds of one IPv4 address or IPv6 /64.")
    limit_auth: Quota = Field(Allowance(120, 60), description="Requests/seconds of one address to /auth/*.")
    limit_user: Quota = Field(Allowance(3000, 60), description="Requests/seconds of one user, whatever the credential.")
    limit_key: Quota = Field(Allowance(1500, 60), description="Requests/seconds with one API key.")


class GatewaySettings(ProcessSettings, Changeable):
    """The environment of `python -m gateway`."""

    model_config = ProcessSettings.model_config
    amqp_url: AmqpDsn | None = Field(None, description="RabbitMQ URL: revocations are then known within a second.")

    token_issuer: str = Field("talkstack", description="`iss` of the access tokens that are accepted.")
    token_audience: str = Field("talkstack-api", description="`aud` of the access tokens that are accepted.")
    jwks_refresh_seconds: float = Field(300, gt=0, description="How often the public keys are fetched again.")
    jwks_min_interval_seconds: float = Field(5, ge=0, description="How soon an unknown key id may cause a fetch again.")
    api_key_cache_seconds: float = Field(30, gt=0, description="How long a verified API key is believed.")
    api_key_refusal_seconds: float = Field(10, gt=0, description="How long a refused API key stays refused.")

    cors_origins: CommaSeparated = Field(("*",), description="Origins of browsers that may call the API, or `*`.")
    trusted_proxies: Networks = Field((), description="Networks whose X-Forwarded-For is believed.")
    max_body_bytes: int = Field(1024 * 1024, ge=1024, description="Largest request body of ordinary endpoints.")
    max_upload_bytes: int = Field(32 * 1024 * 1024, ge=1024, description="Largest request body of file uploads.")

    connect_timeout_seconds: float = Field(2, gt=0, description="Time to connect to an instance of a service.")
    upstream_keepalive_seconds: float = Field(
        4, gt=0, description="How long an idle connection to a service is kept; less than a service takes to drain."
    )
    idle_timeout_seconds: float = Field(30, gt=0, description="Longest pause of client or service in mid-body.")
    ejection_seconds: float = Field(2, gt=0, description="How long an instance that can't be reached is left out.")

    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port of `/metrics`; without it they are at `PORT`, for everybody who reaches the gateway.",
    )
    gateway_processes: int = Field(1, ge=1, le=256, description="Processes that share the port; one a core is enough.")
    gateway_config: Path | None = Field(None, description="TOML file of limits and instances, read again on SIGHUP.")
    head_timeout_seconds: float = Field(10, gt=0, description="How long a client may take over a request's head.")
    revoked_sessions_seconds: float = Field(30, gt=0, description="How often auth_service is asked for ended sessions.")

    @model_validator(mode="after")
    def _has_two_ports(self) -> Self:
        if self.metrics_port == self.port:
            raise ValueError("METRICS_PORT: it must be another one than PORT")
        return self
