"""The language models of an agent, from its choice and the project's keys."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp
import structlog
from pydantic import HttpUrl, SecretStr

from call_service.calls.domain import Call
from call_service.kept import Kept
from call_service.llm import AnthropicDialect, LlmClient, LlmSettings, OpenAiDialect, Usage
from call_service.projects import ProjectServiceUnavailableError, VendorKey
from call_service.vendors.choice import Choice, choices_of
from call_service.vendors.connection import Connection
from call_service.vendors.usage import Meter, Used
from shared.http_client import no_redirects, public_connector
from shared.providers import PROVIDERS, Stage, base_url_of

log = structlog.get_logger(__name__)

LLM_ATTEMPTS = 2


class KeyMissingError(Exception):
    """The project has no key for a provider that its agent needs."""

    def __init__(self, provider: str) -> None:
        super().__init__(provider)
        self.provider = provider


class EngineMissingError(KeyMissingError):
    """This worker was given no model for a local engine that the agent has chosen."""


class Sessions:
    """The connections of a process to all vendors, opened with the first request; `close` ends them.

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
                trace_configs=[no_redirects()],
            )
        return self._open[customers]

    async def close(self) -> None:
        """Close all connections."""
        for session in self._open.values():
            await session.close()


@dataclass(frozen=True, slots=True)
class ModelBuilder:
    """For one call. `totals` counts what its vendors were used for."""

    sessions: Sessions
    base_urls: Mapping[str, HttpUrl]
    keys: Mapping[str, VendorKey]
    totals: Counter[Used] = field(default_factory=Counter, kw_only=True)

    def llm(self, choice: Choice) -> LlmClient:
        """Raises KeyMissingError."""
        key, base_url = self._place(choice)
        meter = self._meter(choice, "llm")

        def count(usage: Usage) -> None:
            meter.count("tokens_in", usage.tokens_in)
            meter.count("tokens_out", usage.tokens_out)

        settings = LlmSettings(
            base_url=base_url,
            model=model_of(choice, "llm"),
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
        return Meter(choice.provider, stage, model_of(choice, stage) or choice.voice, self.totals)


def model_of(choice: Choice, stage: Stage) -> str:
    """The model that was chosen, else the vendor's default; empty where voices are models."""
    return choice.model or PROVIDERS[choice.provider].models[stage] or ""


@dataclass(frozen=True, slots=True)
class AgentModels:
    """Finds the models that an agent has chosen."""

    keys: Kept[Mapping[str, VendorKey]]
    sessions: Sessions
    base_urls: Mapping[str, HttpUrl]

    async def of(self, call: Call, totals: Counter[Used]) -> list[LlmClient]:
        """In the agent's order; none where it has chosen none, or where its keys can't be had. They need no closing."""
        chosen = choices_of(call.agent, "llm")
        if not chosen:
            return []
        try:
            keys = await self.keys.of(call.tenant, call.project_id)
        except ProjectServiceUnavailableError:
            log.warning("keys unknown", call_id=call.id)
            return []
        builder = ModelBuilder(self.sessions, self.base_urls, keys, totals=totals)
        return [builder.llm(choice) for choice in chosen if choice.provider in keys]
