"""The voices of vendors, as they list them for a project's key.

ElevenLabs: https://elevenlabs.io/docs/api-reference/voices/search; Cartesia: https://docs.cartesia.ai/api-reference/voices/list;
Deepgram: https://developers.deepgram.com/reference/manage/models/list. OpenAI has no such list, its names are in
https://developers.openai.com/api/docs/guides/text-to-speech.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from cachetools import TTLCache
from pydantic import HttpUrl

from project_service.provider_keys.errors import ProviderKeyNotFoundError
from project_service.provider_keys.service import ProviderKeys
from project_service.voices.catalogue import Labels
from project_service.voices.errors import VendorVoicesUnavailableError
from project_service.voices.schemas import Voice
from shared.endpoints import unprocessable
from shared.errors import FieldError
from shared.providers import PROVIDERS, at, base_url_of

KEPT_SECONDS = 600
MAX_KEPT = 200
MAX_BYTES = 4_000_000
TIMEOUT = aiohttp.ClientTimeout(total=8, sock_connect=3)

_OPENAI = (
    "alloy",
    "ash",
    "ballad",
    "cedar",
    "coral",
    "echo",
    "fable",
    "marin",
    "nova",
    "onyx",
    "sage",
    "shimmer",
    "verse",
)


def _text(known: Mapping[str, Any], *names: str) -> str:
    return next((str(known[name]) for name in names if known.get(name)), "")


def _voice(provider: str, known: Mapping[str, Any], labels: Mapping[str, Any], preview_url: str | None) -> Voice:
    return Voice(
        name=_text(known, "name", "voice_id", "id"),
        labels=Labels(
            accent=_text(labels, "accent"),
            description=_text(labels, "description", "descriptive"),
            age=_text(labels, "age"),
            gender=_text(labels, "gender"),
            use_case=_text(labels, "use_case", "use case"),
        ),
        voice_id=_text(known, "voice_id", "canonical_name", "id"),
        preview_url=preview_url,
        provider=provider,
        language=_text(known, "language"),
    )


def _elevenlabs(answer: Any) -> list[Voice]:
    return [
        _voice("elevenlabs", one | {"language": _text(labels, "language")}, labels, one.get("preview_url"))
        for one in answer["voices"]
        for labels in [one.get("labels") or {}]
    ]


def _cartesia(answer: Any) -> list[Voice]:
    listed = answer["data"] if isinstance(answer, dict) else answer
    return [_voice("cartesia", one, one, None) for one in listed]


def _deepgram(answer: Any) -> list[Voice]:
    return [
        _voice("deepgram", one | {"language": _language(one)}, known, known.get("sample"))
        for one in answer["tts"]
        for known in [one.get("metadata") or {}]
    ]


def _language(model: Mapping[str, Any]) -> str:
    return str(max(model.get("languages") or [""], key=len))  # en-IE says more than en


@dataclass(frozen=True, slots=True)
class _Listing:
    path: str
    read: Callable[[Any], list[Voice]]


_LISTINGS = {
    "cartesia": _Listing("voices?limit=100", _cartesia),
    "deepgram": _Listing("models", _deepgram),
    "elevenlabs": _Listing("voices", _elevenlabs),
}


def _no_cache() -> "TTLCache[tuple[str, str, str], list[Voice]]":
    return TTLCache(MAX_KEPT, KEPT_SECONDS)


@dataclass(frozen=True, slots=True)
class VendorVoices:
    """Asks with the keys of projects; what a vendor said is kept for ten minutes."""

    keys: ProviderKeys
    session: aiohttp.ClientSession
    base_urls: Mapping[str, HttpUrl]
    _kept: "TTLCache[tuple[str, str, str], list[Voice]]" = field(default_factory=_no_cache)

    async def of(self, tenant: str, project_id: str | None, provider: str) -> list[Voice]:
        """What the vendor lists for the project's key.

        Raises:
            UnprocessableError: a project is needed.
            ProjectNotFoundError, ProviderKeyNotFoundError, VendorVoicesUnavailableError
        """
        if provider not in _LISTINGS:
            return [_voice(provider, {"name": name.title(), "voice_id": name}, {}, None) for name in _OPENAI]
        if project_id is None:
            message = "This field is required: this vendor lists its voices for a key only."
            raise unprocessable([FieldError("projectId", "missing", message)])
        await self.keys.get(tenant, project_id, provider)
        asked = (tenant, project_id, provider)
        if asked not in self._kept:
            self._kept[asked] = await self._fetch(*asked)
        return self._kept[asked]

    async def _fetch(self, tenant: str, project_id: str, provider: str) -> list[Voice]:
        key = (await self.keys.open(tenant, project_id)).get(provider)
        base_url = base_url_of(provider, self.base_urls, None)
        if key is None or base_url is None:
            raise ProviderKeyNotFoundError
        listing = _LISTINGS[provider]
        try:
            async with self.session.get(
                at(base_url, listing.path),
                headers=PROVIDERS[provider].headers_with(key.api_key),
                allow_redirects=False,
                timeout=TIMEOUT,
            ) as answer:
                answer.raise_for_status()
                return listing.read(orjson.loads(await _body(answer)))
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            LookupError,
            TypeError,
            ValueError,
            AttributeError,
        ) as error:
            raise VendorVoicesUnavailableError from error


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in answer.content.iter_chunked(65_536):
        body += chunk
        if len(body) > MAX_BYTES:
            raise ValueError("too large")
    return bytes(body)
