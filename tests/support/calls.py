"""What tests of call_service share: one user, her requests, and the project service that knows her agents."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestClient

from call_service.calls.claiming import CallClaimer
from call_service.calls.domain import Call
from call_service.calls.errors import ProviderKeyMissingError
from call_service.capacity.domain import Limits
from shared.clock import SystemClock
from shared.db import Database
from shared.envelope import error_response
from shared.errors import NotFoundError
from shared.ids import new_id
from shared.tokens import HEADER, InternalTokens, Principal

# Larger than any test that does not give its own comes near.
LIMITS = Limits(calls_per_second=1000, max_calls=10_000)
SECRET = "integration-test-secret-0123456789abcdef"
MIGRATIONS = Path(__file__).parents[2] / "call_service" / "migrations"


def agent(**changes: Any) -> dict[str, Any]:
    """An agent as project_service describes it."""
    return {
        "id": new_id(),
        "name": "Maya",
        "version": 3,
        "systemInstruction": "You are Maya of Bright Dental. We are open Monday to Friday from nine to five.",
        "voice_id": "heart",
        "firstMessage": "Hello, this is Maya of Bright Dental. How can I help you?",
        "language": "en",
        "temperature": 0.7,
        "maxCallSeconds": 120,
        "silenceTimeoutSeconds": 2,
        "voicemail": {"action": "hang_up", "message": None},
        "recordingEnabled": True,
        "analysisQuestions": [],
        **changes,
    }


async def claim(db: Database, owner: str, lease: timedelta, limit: int) -> list[Call]:
    """Queued calls, as a worker takes them."""
    return [call for call, _delay_seconds in await CallClaimer(db, owner, lease, LIMITS).claim(limit)]


@dataclass
class FakeProjects:
    """project_service as call_service sees it: the same paths, errors and internal tokens."""

    tenant: str = field(default_factory=new_id)
    project_id: str = field(default_factory=new_id)
    agent: dict[str, Any] = field(default_factory=agent)
    has_active_agent: bool = True
    from_number: str | None = "+12025550199"
    numbers: dict[str, dict[str, Any] | None] = field(default_factory=dict)  # those that are called, with their agents
    is_down: bool = False
    provider_keys: dict[str, Any] = field(default_factory=dict)
    tool_secrets: dict[str, str] = field(default_factory=dict)
    missing_keys: str | None = None
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/internal/calls/prepare", self._prepare)
        app.router.add_post("/internal/calls/answer", self._answer)
        app.router.add_get("/internal/projects/{id}", self._project)
        app.router.add_get("/internal/projects/{id}/provider-keys", self._keys)
        app.router.add_get("/internal/projects/{id}/tool-secrets", self._secrets)
        return app

    async def _prepare(self, request: web.Request) -> web.Response:
        body = await request.json()
        if (error := self._refuse(request, body["projectId"])) is not None:
            return error
        if body["agentId"] is None and not self.has_active_agent:
            return self._not_found("active_agent_not_set")
        if body["agentId"] not in {None, self.agent["id"]}:
            return self._not_found("agent_not_found")
        if self.missing_keys:
            return error_response(ProviderKeyMissingError(self.missing_keys), "r")
        return web.json_response(
            {"project": {"id": self.project_id}, "agent": self.agent, "from_number": self.from_number}
        )

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        number = body["e164"]
        if self.is_down:
            return web.Response(status=503, text="{}")
        if number not in self.numbers or self.tenant not in body["tenants"]:
            return self._not_found("phone_number_not_found")
        return web.json_response({"tenant": self.tenant, "projectId": self.project_id, "agent": self.numbers[number]})

    async def _project(self, request: web.Request) -> web.Response:
        return self._refuse(request, request.match_info["id"]) or web.json_response({"id": self.project_id})

    async def _keys(self, request: web.Request) -> web.Response:
        return self._refuse(request, request.match_info["id"]) or web.json_response({"keys": self.provider_keys})

    async def _secrets(self, request: web.Request) -> web.Response:
        return self._refuse(request, request.match_info["id"]) or web.json_response({"secrets": self.tool_secrets})

    def _refuse(self, request: web.Request, project_id: str) -> web.Response | None:
        if self.is_down:
            return web.Response(status=503, text="{}")
        principal = InternalTokens(SECRET, "test", SystemClock().now).verify(request.headers[HEADER])
        assert principal is not None
        assert principal.credential == "service"
        if (principal.tenant, project_id) != (self.tenant, self.project_id):
            return self._not_found("project_not_found")
        return None

    @staticmethod
    def _not_found(code: str) -> web.Response:
        return error_response(type("_Error", (NotFoundError,), {"code": code})(), "r")


class Customer:
    """Sends requests as the gateway passes them on for one user."""

    def __init__(self, client: "TestClient[web.Request, web.Application]", tenant: str) -> None:
        self._client = client
        self.tenant = tenant
        self._tokens = InternalTokens(SECRET, "gateway", SystemClock().now)

    @property
    def _headers(self) -> dict[str, str]:
        return {HEADER: self._tokens.sign(Principal(self.tenant, "token", None, ("*",)))}

    async def ask(self, method: str, path: str, json: Any = None, **options: Any) -> tuple[int, Any]:
        async with self.open(method, path, json=json, **options) as response:
            return response.status, await response.json()

    def open(self, method: str, path: str, **options: Any) -> "aiohttp.client._BaseRequestContextManager[Any]":
        headers = {**self._headers, **options.pop("headers", {})}
        return self._client.request(method, path, headers=headers, **options)

    def websocket(self, path: str) -> "aiohttp.client._WSRequestContextManager":
        return self._client.ws_connect(path, headers=self._headers)
