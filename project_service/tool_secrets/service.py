"""The secrets of tools: set, named, handed to our own workers."""

import re
from dataclasses import dataclass

from project_service.errors import ProjectNotFoundError
from project_service.projects import repository as projects
from project_service.tool_secrets import repository
from project_service.tool_secrets.errors import SecretNameError, SecretNotFoundError, TooManySecretsError
from project_service.tool_secrets.schemas import SetSecret, ToolSecret
from shared.db import Database
from shared.secret_box import SecretBox

MAX_SECRETS = 50
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class ToolSecrets:
    """By project and name."""

    db: Database
    box: SecretBox

    async def put(self, tenant: str, project_id: str, name: str, wanted: SetSecret) -> ToolSecret:
        """Raises ProjectNotFoundError, SecretNameError, TooManySecretsError."""
        sealed = self.box.seal_text(wanted.value.get_secret_value())
        async with self.db.transaction() as tx:
            if not await projects.lock(tx, tenant, project_id, exclusively=True):
                raise ProjectNotFoundError
            if not _NAME.fullmatch(name):
                raise SecretNameError
            known = {secret.name for secret in await repository.of_project(tx, tenant, project_id)}
            if len(known | {name}) > MAX_SECRETS:
                raise TooManySecretsError
            return await repository.put(tx, tenant, project_id, name, sealed)

    async def of_project(self, tenant: str, project_id: str) -> list[ToolSecret]:
        """Raises ProjectNotFoundError."""
        if await projects.find(self.db, tenant, project_id) is None:
            raise ProjectNotFoundError
        return await repository.of_project(self.db, tenant, project_id)

    async def delete(self, tenant: str, project_id: str, name: str) -> None:
        """Raises ProjectNotFoundError, SecretNotFoundError."""
        async with self.db.transaction() as tx:
            if not await projects.lock(tx, tenant, project_id, exclusively=False):
                raise ProjectNotFoundError
            if not await repository.delete(tx, tenant, project_id, name):
                raise SecretNotFoundError

    async def open(self, tenant: str, project_id: str) -> dict[str, str]:
        """For workers: the values, by name."""
        sealed = await repository.sealed_of(self.db, tenant, project_id)
        return {name: self.box.open_text(value) for name, value in sealed.items()}
