"""The real processes of project_service: start, memory, drain, and a worker killed in the middle of a delivery."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aio_pika
import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from deploy.local.system import free_port
from project_service.app import WEBHOOK_SECRETS
from project_service.webhooks.events import QUEUE
from project_service.webhooks.secrets import new_secret
from shared import tokens
from shared.amqp import AmqpBus
from shared.clock import SystemClock
from shared.db import Database
from shared.events import Event
from shared.ids import new_id
from shared.secret_box import SecretBox
from shared.testing.waiting import eventually
from shared.tokens import InternalTokens, Principal

MEGABYTE = 1024 * 1024


@pytest.fixture
def variables(environment: dict[str, Any]) -> dict[str, str]:
    given = {name.upper(): str(value) for name, value in environment.items()}
    return {**os.environ, **given, "WEBHOOK_LEASE_SECONDS": "3", "WEBHOOK_TIMEOUT_SECONDS": "2", "LOG_LEVEL": "warning"}


@asynccontextmanager
async def running(role: str, variables: dict[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process that is ready, and its base URL; it is gone afterwards."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "project_service", role, env={**variables, "PORT": str(port)}
    )
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _is_ready(session, url), 30)
        yield process, url
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/health/ready") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def test_migrating_twice_is_harmless(variables: dict[str, str], db: Database) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "project_service", "migrate", env=variables)
    assert await process.wait() == 0
    assert await db.fetchval("SELECT count(*) FROM alembic_version") == 1


async def test_a_missing_setting_is_named(variables: dict[str, str]) -> None:
    del variables["ENCRYPTION_KEY"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "project_service", "api", env=variables, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await process.communicate()
    assert (process.returncode, b"ENCRYPTION_KEY" in errors) == (78, True)


async def test_the_api_process_stays_small_and_ends_at_sigterm(
    variables: dict[str, str], rabbitmq_server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    signer = InternalTokens(variables["INTERNAL_TOKEN_SECRET"], "gateway", SystemClock().now)
    headers = {tokens.HEADER: signer.sign(Principal(new_id(), "token", None, ("*",)))}
    async with running("api", {**variables, "AMQP_URL": rabbitmq_server}) as (process, url):
        memory = psutil.Process(process.pid).memory_info
        idle = memory().rss
        async with aiohttp.ClientSession(headers=headers) as session:
            for number in range(100):
                body = {"name": f"p{number}", "description": ""}
                async with session.post(f"{url}/project/create-project", json=body) as answer:
                    assert answer.status == 200
                async with session.get(f"{url}/project") as answer:
                    assert answer.status == 200
        after = memory().rss
        with capsys.disabled():
            print(f"\nproject api: {idle / MEGABYTE:.0f} MB idle, {after / MEGABYTE:.0f} MB after 200 requests")
        assert after < 120 * MEGABYTE
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0


class Receiver:
    """Hangs at the first request, answers the others."""

    def __init__(self) -> None:
        self.ids: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.ids.append(request.headers["webhook-id"])
        if len(self.ids) == 1:
            await asyncio.sleep(60)
        return web.Response()


@pytest.fixture
async def broker(rabbitmq_server: str) -> AsyncIterator[str]:
    """The broker's URL; the worker's queues are deleted afterwards."""
    yield rabbitmq_server
    async with await aio_pika.connect(rabbitmq_server) as connection:
        channel = await connection.channel()
        for name in (QUEUE, f"{QUEUE}.dead"):
            await channel.queue_delete(name)


async def _registered(db: Database, key: str, url: str) -> Event:
    """An event of a project whose webhook is `url`."""
    tenant, project_id = new_id(), new_id()
    await db.execute(
        "INSERT INTO projects (id, tenant, name, description) VALUES ($1, $2, 'p', '')", project_id, tenant
    )
    await db.execute(
        "INSERT INTO webhook_endpoints (project_id, tenant, url, secret) VALUES ($1, $2, $3, $4)",
        project_id,
        tenant,
        url,
        SecretBox(key, WEBHOOK_SECRETS).seal_text(new_secret()),
    )
    return Event(
        id=new_id(),
        type="call.ended",
        time=datetime.now(UTC),
        source="call_service",
        subject=new_id(),
        tenant=tenant,
        project_id=project_id,
        sequence=1,
        data={},
    )


async def test_a_worker_killed_in_the_middle_of_a_delivery_loses_nothing(
    variables: dict[str, str], broker: str, db: Database
) -> None:
    receiver = Receiver()
    app = web.Application(handler_args={"handler_cancellation": True})
    app.router.add_post("/hook", receiver.handle)
    variables["AMQP_URL"] = broker
    server = TestServer(app)
    await server.start_server(shutdown_timeout=0)
    bus = await AmqpBus.connect(broker)
    try:
        event = await _registered(db, variables["ENCRYPTION_KEY"], str(server.make_url("/hook")))
        async with running("webhooks", variables) as (process, _):
            assert await bus.publish_many([event], 5) == {event.id}
            await eventually(lambda: len(receiver.ids) == 1)
            process.kill()
        assert await db.fetchval("SELECT status FROM webhook_deliveries") == "pending"
        async with running("webhooks", variables) as (process, _):
            await eventually(lambda: len(receiver.ids) == 2)
            await eventually(_is_delivered(db))
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 10) == 0
        assert receiver.ids[0] == receiver.ids[1]
    finally:
        await bus.close()
        await server.close()


def _is_delivered(db: Database) -> Callable[[], Any]:
    async def check() -> bool:
        return bool(await db.fetchval("SELECT bool_and(status = 'delivered') FROM webhook_deliveries"))

    return check
