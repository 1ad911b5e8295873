"""Does the time of an answer tell whether an address has an account? (OWASP ASVS 5.0, 6.3.8; bar: within 1.15)

    python -m tests.bench.bench_auth_timing [--pairs 300]

auth_service with a Postgres of its own. Each pair asks for an address with an account and for one without, in random
order and one right after the other, so that whatever else the machine does falls on both. The interval is the middle
95 % of 2000 resampled medians (bootstrap): the difference is shown only if it lies outside. About two minutes.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import structlog
from aiohttp.test_utils import TestClient, TestServer
from rich.console import Console

import auth_service
from auth_service.app import build_app
from auth_service.mail.memory import MemoryMailer
from auth_service.settings import AuthSettings
from deploy.local.postgres import start_postgres
from shared.db import Database
from shared.memory_bus import InMemoryBus
from shared.migrations import migrate
from shared.resources import DATABASE
from shared.tokens import HEADER, InternalTokens
from tests.bench.sections import Section, at_most, load_average

SECRET = "a secret of the benchmark, long enough"
PASSWORD = "not the password of anybody"
PATHS = ("/auth/login", "/auth/signup", "/auth/forgot-password", "/auth/resend-code")
KNOWN = "known@example.com"
RESAMPLED = 2000
BAR = 1.15
Pair = tuple[float, float]


class Auth:
    """The service, asked as the gateway asks it."""

    def __init__(self, client: "TestClient[Any, Any]", db: Database) -> None:
        self._client = client
        self._db = db
        self._tokens = InternalTokens(SECRET, "bench", lambda: datetime.now(UTC))

    async def seconds(self, path: str, email: str) -> float:
        """How long one request takes."""
        body = {"email": email, "password": PASSWORD, "name": "Somebody"}
        headers = {HEADER: self._tokens.sign(None), "X-Client-IP": "192.0.2.1"}
        started = time.perf_counter()
        async with self._client.post(path, json=body, headers=headers) as answer:
            await answer.read()
        taken = time.perf_counter() - started
        assert answer.status in {200, 400, 401}, answer.status
        return taken

    async def pairs(self, path: str, count: int, chance: random.Random) -> list[Pair]:
        """(with account, without) each time; what throttles is forgotten in between."""
        found: list[Pair] = []
        for number in range(count):
            await self._db.execute("DELETE FROM throttles")
            emails = [KNOWN, f"stranger{number}@example.com"]
            taken = {email: await self.seconds(path, email) for email in chance.sample(emails, 2)}
            found.append((taken[emails[0]], taken[emails[1]]))
        await self._db.execute("DELETE FROM users WHERE email <> $1", KNOWN)
        return found


def ratio(pairs: Sequence[Pair]) -> float:
    """Of the medians: with an account, by without."""
    return median(known for known, _ in pairs) / median(stranger for _, stranger in pairs)


def interval(pairs: Sequence[Pair], chance: random.Random) -> tuple[float, float]:
    """The middle 95 % of the ratios of resampled pairs."""
    ratios = sorted(ratio(chance.choices(pairs, k=len(pairs))) for _ in range(RESAMPLED))
    return ratios[RESAMPLED * 25 // 1000], ratios[RESAMPLED * 975 // 1000]


@asynccontextmanager
async def service() -> AsyncIterator[Auth]:
    """auth_service with one account, on a private Postgres that ends with it."""
    with tempfile.TemporaryDirectory(prefix="talkstack-bench-") as directory:
        server, dsn = await start_postgres(Path(directory))
        try:
            settings = AuthSettings(database_url=dsn, internal_token_secret=SECRET, encryption_key=SECRET)
            await migrate(dsn, settings.database_schema, Path(auth_service.__file__).parent / "migrations")
            app = build_app(settings, InMemoryBus(), mailer=MemoryMailer())
            async with TestClient(TestServer(app)) as client:
                auth = Auth(client, app[DATABASE])
                await auth.seconds("/auth/signup", KNOWN)
                yield auth
        finally:
            await server.stop()


async def measure(count: int) -> Section:
    """All endpoints that take an address."""
    chance = random.Random(20261125)
    load, rows = load_average(), []
    async with service() as auth:
        for path in PATHS:
            await auth.pairs(path, 10, chance)  # warm
            pairs = await auth.pairs(path, count, chance)
            low, high = interval(pairs, chance)
            known, stranger = (median(pair[side] for pair in pairs) * 1000 for side in (0, 1))
            found = ratio(pairs)
            rows.append((path, known, stranger, found, f"{low:.3f} to {high:.3f}", at_most(max(found, 1 / found), BAR)))
    columns = ("endpoint", "with account, ms", "without, ms", "ratio", "95 % interval", "bar")
    return Section(f"Time of an answer by whether there is an account, {count} pairs", columns, rows, load)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=300)
    count = parser.parse_args().pairs
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    Console(width=120).print(asyncio.run(measure(count)).table())


if __name__ == "__main__":
    main()
