"""The keys of vendors: set, shown in part, tried, handed to our own workers."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import HttpUrl

from project_service.errors import ProjectNotFoundError
from project_service.projects import repository as projects
from project_service.provider_keys import repository
from project_service.provider_keys.errors import ProviderKeyNotFoundError, ProviderNotFoundError
from project_service.provider_keys.schemas import KeyTest, OpenedKey, ProviderKey, SetProviderKey
from project_service.provider_keys.trying import KeyTrier
from shared.db import Database
from shared.endpoints import unprocessable
from shared.errors import FieldError
from shared.http_client import InvalidUrlError, check_url
from shared.providers import PROVIDERS, base_url_of
from shared.secret_box import SecretBox

# Four characters of a short key would tell too much of it.
MIN_SHOWN = 16
_HTTP_OF = {"ws": "http", "wss": "https"}


@dataclass(frozen=True, slots=True)
class ProviderKeys:
    """One key for each project and provider."""

    db: Database
    secrets: SecretBox
    trier: KeyTrier
    base_urls: Mapping[str, HttpUrl]
    allow_private: bool

    async def put(self, tenant: str, project_id: str, provider: str, wanted: SetProviderKey) -> ProviderKey:
        """Raises ProjectNotFoundError, ProviderNotFoundError, UnprocessableError."""
        _require_provider(provider)
        key = wanted.api_key.get_secret_value().strip()
        await self._check(provider, key, wanted.base_url)
        async with self.db.transaction() as tx:
            if not await projects.lock(tx, tenant, project_id, exclusively=False):
                raise ProjectNotFoundError
            return await repository.put(
                tx,
                tenant,
                project_id,
                provider,
                sealed=self.secrets.seal_text(key),
                last_four=key[-4:] if len(key) >= MIN_SHOWN else "",
                base_url=wanted.base_url,
            )

    async def _check(self, provider: str, key: str, base_url: str | None) -> None:
        has_own_place = base_url_of(provider, self.base_urls, None) is not None
        if has_own_place and base_url is not None:
            raise unprocessable(
                [FieldError("baseUrl", "not_allowed", "This provider is always reached at its own place.")]
            )
        if not has_own_place and base_url is None:
            raise unprocessable([FieldError("baseUrl", "missing", "This provider needs the URL of its API.")])
        if not key and PROVIDERS[provider].base_url is not None:
            raise unprocessable([FieldError("apiKey", "missing", "This field is required.")])
        if not key.isascii() or not key.isprintable():
            raise unprocessable([FieldError("apiKey", "malformed", "A key has printable ASCII characters only.")])
        if base_url is not None:
            try:
                await check_url(_as_http(provider, base_url), self.allow_private)
            except InvalidUrlError as error:
                raise unprocessable([FieldError("baseUrl", error.code, error.message)]) from None

    async def of_project(self, tenant: str, project_id: str) -> list[ProviderKey]:
        """Raises ProjectNotFoundError."""
        if await projects.find(self.db, tenant, project_id) is None:
            raise ProjectNotFoundError
        return await repository.of_project(self.db, tenant, project_id)

    async def get(self, tenant: str, project_id: str, provider: str) -> ProviderKey:
        """Raises ProjectNotFoundError, ProviderNotFoundError, ProviderKeyNotFoundError."""
        _require_provider(provider)
        found = [key for key in await self.of_project(tenant, project_id) if key.provider == provider]
        if not found:
            raise ProviderKeyNotFoundError
        return found[0]

    async def delete(self, tenant: str, project_id: str, provider: str) -> None:
        """Raises ProjectNotFoundError, ProviderNotFoundError, ProviderKeyNotFoundError."""
        _require_provider(provider)
        async with self.db.transaction() as tx:
            if not await projects.lock(tx, tenant, project_id, exclusively=False):
                raise ProjectNotFoundError
            if not await repository.delete(tx, tenant, project_id, provider):
                raise ProviderKeyNotFoundError

    async def test(self, tenant: str, project_id: str, provider: str) -> KeyTest:
        """Ask the vendor. Raises ProjectNotFoundError, ProviderNotFoundError, ProviderKeyNotFoundError."""
        await self.get(tenant, project_id, provider)
        key = (await self.open(tenant, project_id)).get(provider)
        if key is None:
            raise ProviderKeyNotFoundError
        base_url = base_url_of(provider, self.base_urls, key.base_url)
        assert base_url is not None
        return await self.trier.try_key(provider, key.api_key, base_url, is_customers_url=base_url == key.base_url)

    async def open(self, tenant: str, project_id: str) -> dict[str, OpenedKey]:
        """For workers: the keys themselves."""
        return {
            key.provider: OpenedKey(api_key=self.secrets.open_text(key.sealed), base_url=key.base_url)
            for key in await repository.sealed_of(self.db, tenant, project_id)
        }


def _as_http(provider: str, base_url: str) -> str:
    """WebSockets are where http is: `wss` has to be what `https` has to be."""
    scheme, separator, place = base_url.partition("://")
    if PROVIDERS[provider].is_websocket and scheme.lower() in _HTTP_OF:
        return _HTTP_OF[scheme.lower()] + separator + place
    return base_url


def _require_provider(provider: str) -> None:
    if provider not in PROVIDERS:
        raise ProviderNotFoundError
