"""The real auth_service on a free port, with real Postgres; mail stays in memory and the clock is the test's."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from auth_service.__main__ import MIGRATIONS
from auth_service.app import build_app
from auth_service.mail.memory import MemoryMailer
from auth_service.settings import AuthSettings
from shared.db import Database
from shared.events import Event
from shared.memory_bus import InMemoryBus
from shared.resources import DATABASE
from shared.testing.waiting import eventually
from shared.tokens import HEADER, InternalTokens, Principal
from tests.support.databases import Tables

SECRET = "an internal secret of the tests, long enough"
PASSWORD = "correct horse battery"
IP = "198.51.100.7"


@dataclass
class MovableClock:
    """Starts at the machine's time, because the internal tokens are checked against that."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.moment

    def advance(self, **duration: float) -> None:
        self.moment += timedelta(**duration)


@dataclass
class Answer:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Auth:
    """A client that speaks as the gateway does."""

    password = PASSWORD
    client: "TestClient[Any, Any]"
    mailer: MemoryMailer
    clock: MovableClock
    events: list[Event]
    db: Database
    settings: AuthSettings
    bus: InMemoryBus
    tokens: InternalTokens = field(default_factory=lambda: InternalTokens(SECRET, "gateway", lambda: datetime.now(UTC)))

    async def ask(
        self, method: str, path: str, body: Any = None, *, user: Principal | None = None, ip: str = IP, **headers: str
    ) -> Answer:
        sent = {HEADER: self.tokens.sign(user), "X-Client-IP": ip, "User-Agent": "tests", **headers}
        async with self.client.request(method, path, json=body, headers=sent) as response:
            content = await response.json() if response.content_type.endswith("json") else {}
            return Answer(response.status, content, dict(response.headers))

    async def post(self, path: str, body: Any = None, **options: Any) -> Answer:
        return await self.ask("POST", path, body if body is not None else {}, **options)

    async def sign_up(self, email: str = "ada@example.com", *, is_verified: bool = True) -> Principal:
        """A new account, as the principal that the gateway would make of its first session."""
        credentials = {"email": email, "password": PASSWORD}
        answer = await self.post("/auth/signup", {**credentials, "name": "Ada Lovelace"})
        assert answer.status == 200, answer.body
        if not is_verified:
            return Principal(await self.user_id(email), "token", None)
        code = await self.code(email)
        assert (await self.post("/auth/verify-email", {"email": email, "code": code})).status == 200
        return await self.log_in(email)

    async def log_in(self, email: str = "ada@example.com", password: str = PASSWORD) -> Principal:
        answer = await self.post("/auth/login", {"email": email, "password": password})
        assert answer.status == 200, answer.body
        session_id = await self.db.fetchval("SELECT id::text FROM sessions ORDER BY id DESC LIMIT 1")
        return Principal(await self.user_id(email), "token", session_id, ("*",))

    async def user_id(self, email: str = "ada@example.com") -> str:
        return str(await self.db.fetchval("SELECT id::text FROM users WHERE email = $1", email))

    async def mail(self, email: str, subject: str) -> str:
        """The text of the latest such mail; waits for it, and takes it away."""

        def found() -> list[str]:
            return [mail.text for mail in self.mailer.sent if mail.recipient == email and subject in mail.subject]

        await eventually(lambda: bool(found()))
        text = found()[-1]
        self.mailer.sent = [mail for mail in self.mailer.sent if mail.text != text]
        return text

    async def code(self, email: str = "ada@example.com") -> str:
        found = re.search(r"\b\d{6}\b", await self.mail(email, "verification code"))
        assert found is not None
        return found.group()

    async def reset_token(self, email: str = "ada@example.com") -> str:
        found = re.search(r'"token": "([\w-]+)"', await self.mail(email, "Reset"))
        assert found is not None
        return found.group(1)

    async def event(self, event_type: str) -> Event:
        """The first event of this type; waits for it."""
        await eventually(lambda: any(event.type == event_type for event in self.events))
        return next(event for event in self.events if event.type == event_type)

    async def audit(self) -> list[str]:
        return [row["action"] for row in await self.db.fetch("SELECT action FROM audit_log ORDER BY id")]


def make_settings(database_url: str, **changes: Any) -> AuthSettings:
    return AuthSettings(
        database_url=database_url,
        internal_token_secret=SECRET,
        encryption_key="an encryption key of the tests, long enough",
        database_pool_size=4,
        **changes,
    )


@pytest.fixture(scope="session")
def tables() -> Tables:
    return Tables("auth", MIGRATIONS)


@pytest.fixture
def setting_changes() -> dict[str, Any]:
    """Overridden by parametrization: settings that differ from the defaults."""
    return {}


@pytest.fixture
async def auth(database_url: str, setting_changes: dict[str, Any]) -> AsyncIterator[Auth]:
    settings = make_settings(database_url, **setting_changes)
    bus, events, mailer, clock = InMemoryBus(), [], MemoryMailer(), MovableClock()

    async def keep(event: Event) -> None:
        events.append(event)

    await bus.subscribe("tests", ["auth.#"], keep)
    app = build_app(settings, bus, clock=clock, mailer=mailer)
    async with TestClient(TestServer(app)) as client:
        yield Auth(client, mailer, clock, events, app[DATABASE], settings, bus)
    await bus.close()
