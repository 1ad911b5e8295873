"""Settings of call_service: its API process and its workers."""

from decimal import Decimal
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

from pydantic import Field, HttpUrl, IPvAnyAddress, SecretStr

from call_service.calls.costs import Prices
from call_service.capacity.domain import Limits
from call_service.llm import LlmSettings
from shared.providers import BaseUrls
from shared.settings import ServiceSettings


class CallSettings(ServiceSettings):
    """What the API process and the workers share."""

    database_schema: str = Field("calls", description="Postgres schema of this service.")
    public_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8080"), description="Base of the links in answers.")
    recordings_dir: Path = Field(
        Path("var/recordings"), description="Where recordings live; a volume that API and workers share."
    )
    lease_seconds: int = Field(30, ge=3, description="How long a worker owns a call without a heartbeat.")
    llm_base_url: HttpUrl | None = Field(
        None, description="An OpenAI-compatible API, up to and with /v1; without one the built-in brain talks."
    )
    llm_api_key: SecretStr = Field(SecretStr(""), description="Its key, where it wants one.")
    llm_model: str = Field("gpt-4o-mini", description="Its model.")
    project_url: HttpUrl = Field(HttpUrl("http://127.0.0.1:8082"), description="Base URL of project_service.")
    webhook_allow_private: bool = Field(
        False, description="Lets servers that are asked before a dial be at http:// and private addresses."
    )
    trunk_allow_private: bool = Field(
        False, description="Lets trunks be at private addresses: an operator's own exchange."
    )
    provider_base_urls: BaseUrls = Field(
        {}, description='Where vendors are reached instead of at their own place: JSON, `{"deepgram": "https://…/v1"}`.'
    )
    provider_prices: Prices = Field(
        {},
        description="What vendors cost, in the currency of calls: JSON, by provider or `provider/model` and by unit, "
        'for a million tokens or characters and for a minute: `{"deepgram": {"seconds": 0.0077}, '
        '"openai/gpt-4o-mini": {"tokens_in": 0.15, "tokens_out": 0.6}}`. Without a price use is shown, and costs 0.',
    )
    provider_allow_private: bool = Field(
        False, description="Lets customers' own model servers be at http:// and private addresses."
    )


class _Sealing(CallSettings):
    encryption_key: SecretStr = Field(
        min_length=32,
        description="Encrypts the passwords of trunks at rest; several, separated by commas, while it is changed (the "
        "first one encrypts).",
    )


class CallApiSettings(_Sealing):
    """The API process."""

    batch_max_rows: int = Field(1_000_000, ge=1, description="Most rows of an uploaded batch file.")
    sweep_seconds: float = Field(5, gt=0, description="How often calls of lost workers are looked for.")


class WorkerSettings(_Sealing):
    """A worker: dials and talks."""

    tool_allow_private: bool = Field(
        False, description="Lets agents' tools call http:// and private addresses; for local use only."
    )
    drain_seconds: int = Field(3600, ge=0, description="How long live calls may go on after SIGTERM.")
    worker_max_calls: int = Field(
        40, ge=1, le=1000, description="Calls that one worker holds at once; 40 is what two free cores speak locally."
    )
    tenant_calls_per_second: float = Field(
        50,
        ge=0.01,
        le=1000,
        allow_inf_nan=False,
        description="How many calls each user's batches and requests begin in a second, in all workers together.",
    )
    tenant_max_calls: int = Field(
        1000,
        ge=1,
        description="Live calls of each user, in all workers together, from which on no other is begun or taken.",
    )
    scenarios_at_once: int = Field(
        4,
        ge=0,
        le=100,
        description="Simulated callers that one worker lets test agents at once, of `WORKER_MAX_CALLS`.",
    )
    ring_timeout_seconds: int = Field(45, ge=5, le=120, description="How long the callee's phone rings.")
    carrier: Literal["simulated", "none"] = Field(
        "simulated", description="Who carries calls from numbers that belong to no trunk; `none` refuses them."
    )
    sip_address: IPvAnyAddress = Field(
        IPv4Address("127.0.0.1"),
        description="Address of SIP (UDP and TCP) and RTP; that of the interface to the trunks.",
    )
    sip_advertised_address: IPvAnyAddress | None = Field(
        None, description="The address trunks are told, where it differs: behind NAT."
    )
    sip_port: int = Field(5060, ge=0, le=65535, description="Port of SIP; 0 takes a free one.")
    sip_tls_port: int = Field(5061, ge=0, le=65535, description="Port of SIP over TLS; opened with a certificate only.")
    sip_tls_certificate: Path | None = Field(
        None, description="Our certificate with its chain (PEM), for trunks that connect to us over TLS."
    )
    sip_tls_key: Path | None = Field(None, description="Its key (PEM).")
    sip_ca_file: Path | None = Field(
        None, description="Who signs the certificates of trunks (PEM), instead of the system's authorities."
    )
    rtp_first_port: int = Field(20_000, ge=1024, le=65534, description="First port of RTP; a call takes two.")
    rtp_last_port: int = Field(20_999, ge=1025, le=65535, description="Last port of RTP.")
    simulated_scripts_dir: Path | None = Field(
        None, description="Scripts of simulated callees by number, e.g. `+12025550120.json`."
    )
    price_per_minute: Decimal = Field(
        Decimal(0), ge=0, description="What an answered minute costs, billed by the second; shown as the call's cost."
    )
    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="Currency of the price (ISO 4217).")
    heartbeat_seconds: float = Field(10, gt=0, description="How often a worker renews its leases.")
    kokoro_model: Path | None = Field(
        None, description="An ONNX export of Kokoro-82M, for agents that choose `kokoro` (extra `speech`)."
    )
    kokoro_voices: Path | None = Field(None, description="Its voices: a folder of `NAME.bin`, or one `.npz`.")
    whisper_model: str | None = Field(
        None,
        description="A model of faster-whisper, for agents with `faster_whisper` (extra `whisper`): a folder, or "
        "a name like `base.en` that is downloaded at the first start.",
    )
    gguf_model: Path | None = Field(
        None, description="A GGUF file, for agents that choose `xllamacpp` (extra `llama`)."
    )
    engines: Literal["local", "null"] = Field("local", description="Speech engines: local, or null for load tests.")


def tenant_limits(settings: WorkerSettings) -> Limits:
    """What each user may use of the deployment."""
    return Limits(settings.tenant_calls_per_second, settings.tenant_max_calls)


def llm_settings(settings: CallSettings) -> LlmSettings | None:
    """The chat endpoint, None when the built-in brain is to talk."""
    if settings.llm_base_url is None:
        return None
    return LlmSettings(
        base_url=str(settings.llm_base_url).rstrip("/"), model=settings.llm_model, api_key=settings.llm_api_key
    )
