"""The keys of a project, from project_service; kept in memory for a few seconds and nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from cachetools import TTLCache
from pydantic import SecretStr

from shared.single_flight import SingleFlight

# How long a worker goes on using a key that was changed or deleted.
KEPT_SECONDS = 15
MAX_PROJECTS = 1_000


@dataclass(frozen=True, slots=True)
class VendorKey:
    """`base_url`: where the customer's own server is."""

    api_key: SecretStr
    base_url: str | None


class KeyDirectory(Protocol):
    """Knows the keys of a tenant's projects."""

    async def provider_keys(self, tenant: str, project_id: str) -> Mapping[str, Any]:
        """`{"api_key": …, "base_url": …}` by provider. Raises ProjectServiceUnavailableError."""


class KeyRing:
    """The keys by project. Calls that begin together ask once."""

    def __init__(self, directory: KeyDirectory) -> None:
        self._directory = directory
        self._kept: TTLCache[tuple[str, str], Mapping[str, VendorKey]] = TTLCache(MAX_PROJECTS, KEPT_SECONDS)
        self._asking = SingleFlight[tuple[str, str], Mapping[str, VendorKey]]()

    async def of(self, tenant: str, project_id: str) -> Mapping[str, VendorKey]:
        """By provider. Raises ProjectServiceUnavailableError."""
        project = (tenant, project_id)
        if (keys := self._kept.get(project)) is not None:
            return keys
        return await self._asking.run(project, partial(self._ask, project))

    async def _ask(self, project: tuple[str, str]) -> Mapping[str, VendorKey]:
        found = await self._directory.provider_keys(*project)
        keys = {name: VendorKey(SecretStr(key["api_key"]), key["base_url"]) for name, key in found.items()}
        self._kept[project] = keys
        return keys
