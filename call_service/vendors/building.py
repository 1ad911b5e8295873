"""Makes the adapters of one call from the agent's choice and the project's keys."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
from pydantic import HttpUrl, SecretStr

from call_service.llm import AnthropicDialect, LlmClient, LlmSettings, OpenAiDialect, Usage
from call_service.vendors.choice import Choice
from call_service.vendors.connection import Connection
from call_service.vendors.keys import VendorKey
from call_service.vendors.recognition.assemblyai import AssemblyAiWire
from call_service.vendors.recognition.deepgram import DeepgramWire
from call_service.vendors.recognition.streaming import StreamingRecognizer
from call_service.vendors.recognition.whisper import WhisperRecognizer
from call_service.vendors.synthesis.sources import CartesiaSource, DeepgramSource, ElevenLabsSource, OpenAiSource
from call_service.vendors.synthesis.vendor import SpeechCache, SpeechSource, VendorSynthesizer
from call_service.vendors.usage import Meter
from shared.http_client import public_connector
from shared.providers import PROVIDERS, Stage, base_url_of

LLM_ATTEMPTS = 2


class KeyMissingError(Exception):
    """The project has no key for a provider that its agent needs."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider


class Sessions:
    """The connections of a worker to all vendors, opened with the first request; `close` ends them.

    What customers call the place of their own server is reached on the public internet only, unless `allow_private`.
    """

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._open: dict[bool, aiohttp.ClientSession] = {}

    def get(self, *, customers: bool) -> aiohttp.ClientSession:
        """For places that a customer named, or for those that are in our code and settings."""
        if customers not in self._open:
            self._open[customers] = aiohttp.ClientSession(
                connector=public_connector(allow_private=self._allow_private or not customers),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        return self._open[customers]

    async def close(self) -> None:
        """Close all connections."""
        for session in self._open.values():
            await session.close()


@dataclass(frozen=True, slots=True)
class Builder:
    """For one call. `totals` counts what its vendors were used for, by provider and unit."""

    sessions: Sessions
    base_urls: Mapping[str, HttpUrl]
    keys: Mapping[str, VendorKey]
    cache: SpeechCache
    language: str
    totals: Counter[tuple[str, str]] = field(default_factory=Counter)

    def recognizer(self, choice: Choice) -> StreamingRecognizer | WhisperRecognizer:
        """Raises KeyMissingError."""
        connection, model = self._connection(choice, "stt"), _model(choice, "stt")
        match choice.provider:
            case "deepgram":
                return StreamingRecognizer(connection, DeepgramWire(model, self.language, choice.options))
            case "assemblyai":
                return StreamingRecognizer(connection, AssemblyAiWire(model, choice.options))
        return WhisperRecognizer(connection, model, self.language.split("-")[0], choice.options)

    def synthesizer(self, choice: Choice) -> VendorSynthesizer:
        """Raises KeyMissingError."""
        connection = self._connection(choice, "tts")
        return VendorSynthesizer(self._source(choice, connection), connection.meter, self.cache)

    def _source(self, choice: Choice, connection: Connection) -> SpeechSource:
        model = _model(choice, "tts")
        match choice.provider:
            case "elevenlabs":
                return ElevenLabsSource(connection, model, choice.voice, choice.options)
            case "cartesia":
                return CartesiaSource(connection, model, choice.voice, self.language.split("-")[0], choice.options)
            case "deepgram":
                return DeepgramSource(connection, choice.voice, choice.options)
        return OpenAiSource(connection, model, choice.voice, choice.options)

    def llm(self, choice: Choice) -> LlmClient:
        """Raises KeyMissingError."""
        key, base_url = self._place(choice)
        meter = self._meter(choice, "llm")

        def count(usage: Usage) -> None:
            meter.count("tokens_in", usage.tokens_in)
            meter.count("tokens_out", usage.tokens_out)

        settings = LlmSettings(
            base_url=base_url,
            model=_model(choice, "llm"),
            api_key=key,
            attempts=LLM_ATTEMPTS,
            dialect=AnthropicDialect() if choice.provider == "anthropic" else OpenAiDialect(counts_tokens=True),
            auth=PROVIDERS[choice.provider].headers_with,
            options=choice.options,
            on_usage=count,
        )
        return LlmClient(settings, self._session(choice))

    def _connection(self, choice: Choice, stage: Stage) -> Connection:
        key, base_url = self._place(choice)
        headers = PROVIDERS[choice.provider].headers_with(key.get_secret_value())
        return Connection(self._session(choice), base_url, headers, self._meter(choice, stage))

    def _place(self, choice: Choice) -> tuple[SecretStr, str]:
        key = self.keys.get(choice.provider)
        base_url = base_url_of(choice.provider, self.base_urls, key.base_url if key else None)
        if key is None or base_url is None:
            raise KeyMissingError(choice.provider)
        return key.api_key, base_url

    def _session(self, choice: Choice) -> aiohttp.ClientSession:
        return self.sessions.get(customers=base_url_of(choice.provider, self.base_urls, None) is None)

    def _meter(self, choice: Choice, stage: Stage) -> Meter:
        return Meter(choice.provider, stage, self.totals)


def _model(choice: Choice, stage: Stage) -> str:
    return choice.model or PROVIDERS[choice.provider].models[stage] or ""
