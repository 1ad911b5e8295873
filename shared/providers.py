"""The vendors that agents can hear, think and speak with: where each is, how it takes its key, how a key is tried."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, HttpUrl
from yarl import URL

Stage = Literal["stt", "llm", "tts", "s2s"]
STAGES: tuple[Stage, ...] = ("stt", "llm", "tts", "s2s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One vendor. `models` has the default model of each stage it offers; None: the agent has to name one.

    Without a `base_url` the customer gives it together with the key, which may then be empty. `check` is a request
    that costs nothing and that every valid key may make; where all is one WebSocket (`is_websocket`), it is opened.
    """

    models: Mapping[Stage, str | None]
    check: str
    base_url: str | None = None
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    is_websocket: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def headers_with(self, key: str) -> dict[str, str]:
        """The headers of a request with this key."""
        return {**self.headers, **({self.key_header: self.key_prefix + key} if key else {})}


PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider(
        models={"llm": "claude-haiku-4-5"},
        base_url="https://api.anthropic.com/v1",
        key_header="x-api-key",
        key_prefix="",
        headers={"anthropic-version": "2023-06-01"},
        check="models",
    ),
    "assemblyai": Provider(
        models={"stt": "universal-streaming-english"},
        base_url="https://streaming.assemblyai.com/v3",
        key_prefix="",
        check="token?expires_in_seconds=60",
    ),
    "azure_openai": Provider(models={"llm": None, "s2s": None}, key_header="api-key", key_prefix="", check="models"),
    "cartesia": Provider(
        models={"tts": "sonic-3"},
        base_url="https://api.cartesia.ai",
        headers={"Cartesia-Version": "2025-04-16"},
        check="voices?limit=1",
    ),
    "deepgram": Provider(
        models={"stt": "nova-3", "tts": ""},  # its voices are models
        base_url="https://api.deepgram.com/v1",
        key_prefix="Token ",
        check="auth/token",
    ),
    "elevenlabs": Provider(
        models={"tts": "eleven_flash_v2_5"},
        base_url="https://api.elevenlabs.io/v1",
        key_header="xi-api-key",
        key_prefix="",
        check="user",
    ),
    "groq": Provider(
        models={"llm": "llama-3.3-70b-versatile", "stt": "whisper-large-v3-turbo"},
        base_url="https://api.groq.com/openai/v1",
        check="models",
    ),
    "openai": Provider(
        models={
            "llm": "gpt-4o-mini",
            "stt": "gpt-4o-mini-transcribe",
            "tts": "gpt-4o-mini-tts",
            "s2s": "gpt-realtime-2.1",
        },
        base_url="https://api.openai.com/v1",
        check="models",
    ),
    "openai_compatible": Provider(models={"llm": None}, check="models"),
    "pipecat": Provider(models={"s2s": ""}, check="", is_websocket=True),  # a bot is no model that could be chosen
    "whisper_compatible": Provider(models={"stt": None}, check="models"),
}


LOCAL_PROVIDERS: Mapping[str, Stage] = {"faster_whisper": "stt", "kokoro": "tts", "xllamacpp": "llm"}
"""Engines of the operator's own machines, which need no key: only workers that were given a model have them."""


def offering(stage: Stage) -> tuple[str, ...]:
    """The names of the providers that have this stage."""
    return tuple(name for name, provider in PROVIDERS.items() if stage in provider.models)


def at(base_url: str, path: str) -> URL:
    """`path` (with a query, if it has one) below a base URL, whose own query stays: Azure has its `api-version` there.

    Neither may hold what the other side would take for another path; ids in `path` have to be checked before.
    """
    base, below = URL(base_url), URL(path)
    place = base / below.path if below.path else base
    return place.with_query([*base.query.items(), *below.query.items()])


def _known(urls: dict[str, HttpUrl]) -> dict[str, HttpUrl]:
    if unknown := sorted(urls.keys() - PROVIDERS.keys()):
        raise ValueError(f"There is no provider {', '.join(unknown)}.")
    return urls


BaseUrls = Annotated[dict[str, HttpUrl], AfterValidator(_known)]
"""Where the operator wants vendors to be reached instead, by their names."""


def base_url_of(provider: str, operators: Mapping[str, HttpUrl], customers: str | None) -> str | None:
    """Where requests go: the operator's word comes first. None when nobody has said it."""
    if provider in operators:
        return str(operators[provider]).rstrip("/")
    return PROVIDERS[provider].base_url or customers
