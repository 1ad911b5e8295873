"""Settings of the gateway."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated

from pydantic import AmqpDsn, BeforeValidator, Field, HttpUrl, TypeAdapter
from pydantic_settings import NoDecode

from shared.settings import ProcessSettings

_URL = TypeAdapter(HttpUrl)


def _split(text: object) -> object:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else text


def _origin(url: str) -> str:
    parsed = _URL.validate_python(url)
    if parsed.path != "/" or parsed.query or parsed.fragment or parsed.username:
        raise ValueError(f"{parsed.host} must be followed by nothing but a port")
    return str(parsed).rstrip("/")


def _origins(urls: object) -> tuple[str, ...]:
    instances = _split(urls)
    if not isinstance(instances, tuple) or not instances:
        raise ValueError("at least one URL is needed")
    return tuple(_origin(url) for url in instances)


def _networks(text: object) -> object:
    parts = _split(text)
    return tuple(ip_network(part) for part in parts) if isinstance(parts, tuple) else parts


CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Instances = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)]


class GatewaySettings(ProcessSettings):
    """The environment of `python -m gateway`."""

    auth_url: Instances = Field(description="Base URLs of auth_service's instances, separated by commas.")
    project_url: Instances = Field(description="Base URLs of project_service's instances, separated by commas.")
    call_url: Instances = Field(description="Base URLs of call_service's instances, separated by commas.")
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
    idle_timeout_seconds: float = Field(30, gt=0, description="Longest pause of client or service in mid-body.")
    ejection_seconds: float = Field(2, gt=0, description="How long an instance that can't be reached is left out.")
