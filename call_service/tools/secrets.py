"""The secrets that the headers of tools name, from project_service; kept in memory for seconds and nowhere else."""

from collections.abc import Mapping
from typing import Protocol

from cachetools import TTLCache
from pydantic import SecretStr

# How long a worker goes on using a secret that was changed or deleted.
KEPT_SECONDS = 15
MAX_PROJECTS = 1_000


class SecretDirectory(Protocol):
    """Knows the secrets of a tenant's projects."""

    async def tool_secrets(self, tenant: str, project_id: str) -> Mapping[str, str]:
        """By name. Raises ProjectServiceUnavailableError."""


class SecretRing:
    """The secrets by project."""

    def __init__(self, directory: SecretDirectory) -> None:
        self._directory = directory
        self._kept: TTLCache[tuple[str, str], Mapping[str, SecretStr]] = TTLCache(MAX_PROJECTS, KEPT_SECONDS)

    async def of(self, tenant: str, project_id: str) -> Mapping[str, SecretStr]:
        """By name. Raises ProjectServiceUnavailableError."""
        project = (tenant, project_id)
        known = self._kept.get(project)
        if known is None:
            found = await self._directory.tool_secrets(tenant, project_id)
            known = self._kept[project] = {name: SecretStr(value) for name, value in found.items()}
        return known
