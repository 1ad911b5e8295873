"""Two instances of the API of call_service on one database and one broker: a subscriber at each, nothing missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from call_service.app import build_app
from call_service.settings import CallApiSettings
from deploy.local.rabbitmq import start_rabbitmq
from deploy.local.unit import Running
from shared import outbox
from shared.amqp import AmqpBus
from shared.clock import SystemClock
from shared.db import Database
from shared.events import Event
from shared.ids import new_id
from shared.testing.waiting import eventually
from shared.tokens import HEADER, InternalTokens, Principal
from tests.support.calls import SECRET, Customer

EVENTS = 60


@dataclass
class Broker:
    """A node of this test alone, because it is restarted."""

    url: str
    programs: list[Running]

    async def stop(self) -> None:
        await self.programs[-1].stop()

    async def start(self) -> None:
        before = self.programs.pop()
        self.programs.append(Running(before.unit, before.log))
        await self.programs[-1].wait_ready()


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    programs, url = await start_rabbitmq(tmp_path)
    broker = Broker(url, programs)
    yield broker
    for program in reversed(broker.programs):
        await program.stop()


@asynccontextmanager
async def instances(calls_url: str, folder: Path, amqp_url: str | None = None) -> AsyncIterator[list[Customer]]:
    """One customer at both instances."""
    settings = CallApiSettings(
        database_url=calls_url,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        recordings_dir=folder,
        amqp_url=amqp_url,
    )
    tenant = new_id()
    async with AsyncExitStack() as stack:
        clients: list[TestClient[web.Request, web.Application]] = [
            await stack.enter_async_context(TestClient(TestServer(build_app(settings)))) for _ in range(2)
        ]
        yield [Customer(client, tenant) for client in clients]


async def streamed(response: ClientResponse, count: int) -> list[str]:
    """The ids of the next events, none of them twice."""
    found: list[str] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            line = await response.content.readline()
            if line.startswith(b"data: "):
                found.append(orjson.loads(line[6:])["id"])
    return found


async def happen(db: Database, tenant: str, count: int) -> list[str]:
    """So many events, one after the other; their ids."""
    fields: dict[str, Any] = {"source": "test", "type": "call.ended", "tenant": tenant, "project_id": None, "data": {}}
    ids = []
    for _ in range(count):
        async with db.transaction() as tx:
            ids.append((await outbox.add(tx, subject=new_id(), **fields)).id)
    return ids


async def test_subscribers_of_both_instances_miss_nothing_while_the_broker_restarts(
    calls_url: str, db: Database, broker: Broker, tmp_path: Path
) -> None:
    published: set[str] = set()

    async def note(event: Event) -> None:
        published.add(event.id)

    async with instances(calls_url, tmp_path, broker.url) as customers, AsyncExitStack() as stack:
        bus = await AmqpBus.connect(broker.url)
        stack.push_async_callback(bus.close)
        await bus.subscribe("test", ["call.#"], note)
        tenant = customers[0].tenant
        streams = [await stack.enter_async_context(customer.open("GET", "/events")) for customer in customers]
        socket = await stack.enter_async_context(customers[1].websocket("/events/ws"))
        ids = await happen(db, tenant, EVENTS)
        await broker.stop()
        ids += await happen(db, tenant, EVENTS)
        for response in streams:
            assert await streamed(response, len(ids)) == ids, "live events need no broker"
        assert [(await socket.receive_json(timeout=10))["data"]["id"] for _ in ids] == ids
        await broker.start()
        later = await happen(db, tenant, EVENTS)
        await eventually(lambda: published == {*ids, *later}, 60)
        for response in streams:
            assert await streamed(response, EVENTS) == later


async def test_a_client_goes_on_at_the_other_instance(calls_url: str, db: Database, tmp_path: Path) -> None:
    async with instances(calls_url, tmp_path) as (first, second):
        async with first.websocket("/events/ws") as socket:
            await happen(db, first.tenant, 1)
            cursor = (await socket.receive_json(timeout=10))["id"]
        missed = await happen(db, first.tenant, EVENTS)
        async with second.open("GET", f"/events?cursor={cursor}") as response:
            assert await streamed(response, EVENTS) == missed
        _, made = await first.ask("POST", "/events/token", {})
        signer = InternalTokens(SECRET, "gateway", SystemClock().now)
        headers = {HEADER: signer.sign(Principal("gateway", "service"))}
        body = {"token": made["token"], "target": "/events"}
        for customer, status in ((second, 200), (first, 404), (second, 404)):
            assert (await customer.ask("POST", "/internal/events/redeem-token", body, headers=headers))[0] == status
