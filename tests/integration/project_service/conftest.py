"""The API of project_service on a real Postgres, spoken to as the gateway does."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from cryptography.fernet import Fernet

from project_service.__main__ import MIGRATIONS
from project_service.app import build_app
from project_service.settings import ProjectSettings, WebhookSettings
from shared import tokens
from shared.clock import SystemClock
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.tokens import Credential, InternalTokens, Principal
from tests.support.databases import Tables

SECRET = "an internal token secret of 32 bytes"


@dataclass(frozen=True, slots=True)
class User:
    """A user at the API."""

    client: TestClient[Any, Any]
    id: str
    credential: Credential = "token"
    scopes: tuple[str, ...] = ("*",)

    async def __call__(self, method: str, path: str, body: Any = None, **sent: str) -> tuple[int, Any]:
        """Status and JSON of the answer."""
        signer = InternalTokens(SECRET, "gateway", SystemClock().now)
        headers = {**sent, tokens.HEADER: signer.sign(Principal(self.id, self.credential, None, self.scopes))}
        async with self.client.request(method, path, json=body, headers=headers) as answer:
            return answer.status, await answer.json() if answer.content_length else None

    async def project(self, name: str = "Front desk") -> str:
        _, answer = await self("POST", "/project/create-project", {"name": name, "description": ""})
        return str(answer["data"]["id"])

    async def agent(self, project_id: str, **fields: Any) -> str:
        body = {"projectId": project_id, "name": "Anna", "systemInstruction": "Be kind.", **fields}
        _, answer = await self("POST", "/agent/create-agent", body)
        return str(answer["data"]["id"])


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables("projects", MIGRATIONS)


@pytest.fixture
def schema(database_url: str) -> str:
    return database_url


@pytest.fixture
async def db(schema: str) -> AsyncIterator[Database]:
    db = await Database.connect(schema, "projects", max_size=6)
    yield db
    await db.close()


@pytest.fixture
def environment(schema: str, tmp_path: Path) -> dict[str, Any]:
    return {
        "database_url": schema,
        "internal_token_secret": SECRET,
        "encryption_key": Fernet.generate_key().decode(),
        "public_url": "https://talkstack.example",
        "previews_dir": tmp_path / "previews",
        "webhook_allow_private": True,
    }


@pytest.fixture
def settings(environment: dict[str, Any]) -> ProjectSettings:
    return ProjectSettings(**environment)


@pytest.fixture
def webhook_settings(environment: dict[str, Any]) -> WebhookSettings:
    return WebhookSettings(**environment)


ServeApi = Callable[[ProjectSettings], AbstractAsyncContextManager[TestClient[Any, Any]]]


@asynccontextmanager
async def _serve(settings: ProjectSettings) -> AsyncIterator[TestClient[Any, Any]]:
    bus = InMemoryBus()
    async with TestClient(TestServer(build_app(settings, bus))) as client:
        yield client
    await bus.close()


@pytest.fixture
def serve_api() -> ServeApi:
    return _serve


@pytest.fixture
async def client(settings: ProjectSettings) -> AsyncIterator[TestClient[Any, Any]]:
    async with _serve(settings) as client:
        yield client


@pytest.fixture
def user(client: TestClient[Any, Any]) -> User:
    return User(client, new_id())


@pytest.fixture
def stranger(client: TestClient[Any, Any]) -> User:
    return User(client, new_id())


@pytest.fixture
def service(user: User) -> User:
    """Another service of ours that speaks for `user`."""
    return User(user.client, user.id, "service")
