"""The port to project_service: what a call needs to know of a project, its agent and its numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson
import stamina
from pydantic import SecretStr

from call_service.calls.errors import (
    ActiveAgentNotSetError,
    AgentNotFoundError,
    PhoneNumberUnknownError,
    ProjectNotFoundError,
    ProviderKeyMissingError,
    TestsNotPassedError,
)
from shared import tokens
from shared.errors import ApiError, UnavailableError
from shared.ids import is_id
from shared.tokens import InternalTokens, Principal

TIMEOUT = aiohttp.ClientTimeout(total=5, connect=1)
_KNOWN = (
    ActiveAgentNotSetError,
    AgentNotFoundError,
    PhoneNumberUnknownError,
    ProjectNotFoundError,
    ProviderKeyMissingError,
    TestsNotPassedError,
)
_ERRORS = {error.code: error for error in _KNOWN}
_RETRYABLE = (aiohttp.ClientConnectionError, TimeoutError)


class ProjectServiceUnavailableError(UnavailableError):
    """The project service is briefly unavailable; try again."""

    code = "project_service_unavailable"


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """The agent as of now (its settings included) and the number to call from, None when there is none."""

    project_id: str
    agent: Mapping[str, Any]
    from_number: str | None


@dataclass(frozen=True, slots=True)
class VendorKey:
    """`base_url`: where the customer's own server is."""

    api_key: SecretStr
    base_url: str | None


@dataclass(frozen=True, slots=True)
class CalledNumber:
    """Whose number it is, and the agent that answers it as of now; None when it has none."""

    tenant: str
    project_id: str
    agent: Mapping[str, Any] | None


class ProjectDirectory(Protocol):
    """Knows projects and agents of a tenant."""

    async def prepare(
        self, tenant: str, project_id: str, agent_id: str | None, *, is_test: bool = False
    ) -> PreparedCall:
        """What a call of this agent (or of the active one) needs; a test is of its newest version, passed or not.

        Raises:
            ProjectNotFoundError, AgentNotFoundError, ActiveAgentNotSetError, ProviderKeyMissingError
            TestsNotPassedError
            ProjectServiceUnavailableError
        """

    async def require(self, tenant: str, project_id: str) -> None:
        """Raises ProjectNotFoundError when the tenant has no such project."""


class HttpProjectDirectory:
    """Asks project_service over HTTP, speaking for the tenant with an internal token."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, internal: InternalTokens) -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._internal = internal

    async def prepare(
        self, tenant: str, project_id: str, agent_id: str | None, *, is_test: bool = False
    ) -> PreparedCall:
        body = {"projectId": project_id, "agentId": agent_id, "isTest": is_test}
        found = await self._ask("POST", "/internal/calls/prepare", tenant, body)
        return PreparedCall(found["project"]["id"], found["agent"], found["from_number"])

    async def require(self, tenant: str, project_id: str) -> None:
        if not is_id(project_id):  # which also keeps it from leading elsewhere than into this path
            raise ProjectNotFoundError
        await self._ask("GET", f"/internal/projects/{project_id}", tenant)

    async def provider_keys(self, tenant: str, project_id: str) -> Mapping[str, VendorKey]:
        """The keys of the project's vendors by provider, for a worker. Raises ProjectServiceUnavailableError."""
        found = await self._ask("GET", f"/internal/projects/{project_id}/provider-keys", tenant)
        return {name: VendorKey(SecretStr(key["api_key"]), key["base_url"]) for name, key in found["keys"].items()}

    async def called(self, tenants: Sequence[str], number: str) -> CalledNumber:
        """Which of these tenants has a number, and who answers it.

        Raises:
            PhoneNumberUnknownError: none of them.
            ProjectServiceUnavailableError
        """
        body = {"e164": number, "tenants": list(tenants)}
        found = await self._ask("POST", "/internal/calls/answer", tenants[0], body)
        return CalledNumber(found["tenant"], found["projectId"], found["agent"])

    async def tool_secrets(self, tenant: str, project_id: str) -> Mapping[str, SecretStr]:
        """What headers of tools name, for a worker. Raises ProjectServiceUnavailableError."""
        found = await self._ask("GET", f"/internal/projects/{project_id}/tool-secrets", tenant)
        return {name: SecretStr(value) for name, value in found["secrets"].items()}

    async def passages(self, tenant: str, agent_id: str, known: str | None) -> Mapping[str, Any]:
        """The documents of an agent, for a worker; see `tools.library`."""
        return await self._ask("POST", f"/internal/agents/{agent_id}/passages", tenant, {"known": known})

    async def _ask(self, method: str, path: str, tenant: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            async for attempt in stamina.retry_context(on=_RETRYABLE, attempts=3, timeout=8, wait_max=1):
                with attempt:
                    status, answer = await self._request(method, path, tenant, body)
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise ProjectServiceUnavailableError from error
        if status == 200:
            return answer
        raise self._error(answer)

    async def _request(
        self, method: str, path: str, tenant: str, body: Mapping[str, Any] | None
    ) -> tuple[int, dict[str, Any]]:
        headers = {tokens.HEADER: self._internal.sign(Principal(tenant, "service"))}
        async with self._session.request(
            method, self._base + path, json=body, headers=headers, timeout=TIMEOUT, allow_redirects=False
        ) as response:
            return response.status, orjson.loads(await response.read())

    @staticmethod
    def _error(answer: Mapping[str, Any]) -> ApiError:
        known = _ERRORS.get(str(answer.get("code")))
        return known(answer.get("message")) if known else ProjectServiceUnavailableError()
