"""Faults on the way from a call to whoever wants to hear of it: nothing is lost, nothing counts twice."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from call_service.app import build_app as build_calls_app
from call_service.calls.consumer import PROJECT_DELETED, QUEUE, new_consumer
from call_service.settings import CallApiSettings
from project_service import app as project_app
from project_service.__main__ import MIGRATIONS as PROJECT_MIGRATIONS
from project_service.settings import WebhookSettings
from shared.amqp import AmqpBus
from shared.db import Database
from shared.dead_letters import DeadLetters
from shared.events import Event
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.migrations import migrate
from shared.testing.events import make_event
from shared.testing.waiting import eventually
from tests.support.calls import SECRET, Customer
from tests.support.recorder import Recorder
from tests.support.wire import Wire
from tests.support.workers import Switchboard, events_of, queue, working

CALLS = 8


class UnreliableBus(InMemoryBus):
    """Delivers events up to three times, late and in any order, and confirms two of three."""

    def __init__(self) -> None:
        super().__init__(backoff=lambda _failures: 0.01)
        self._chance = random.Random(11)
        self._late: set[asyncio.Task[set[str]]] = set()
        self.repeated = 0
        self.unconfirmed = 0

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        batch = list(events)
        copies = [event for event in batch for _ in range(self._chance.randint(1, 3))]
        self._chance.shuffle(copies)
        self.repeated += len(copies) - len(batch)
        for event in copies:
            task = asyncio.create_task(self._publish_late(event, self._chance.random() * 0.6))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        confirmed = {event.id for event in batch if self._chance.random() < 0.67}
        self.unconfirmed += len(batch) - len(confirmed)
        return confirmed

    async def _publish_late(self, event: Event, seconds: float) -> set[str]:
        await asyncio.sleep(seconds)
        return await super().publish_many([event], 5)


class FlakyReceiver:
    """A customer's server that fails at every fourth request; knows which deliveries it took."""

    def __init__(self) -> None:
        self.requests = 0
        self.taken: list[str] = []

    async def handle(self, request: web.Request) -> web.Response:
        self.requests += 1
        await request.read()
        if self.requests % 4 == 0:
            return web.Response(status=500)
        self.taken.append(request.headers["webhook-id"])
        return web.Response(status=204)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self.handle)
        async with TestServer(app) as server:
            yield str(server.make_url("/hook"))


@asynccontextmanager
async def webhooks(dsn: str, bus: InMemoryBus, customer_id: str, hook: str) -> AsyncIterator[tuple[str, Database]]:
    """project_service with one project whose calls are reported to `hook`, and the webhook worker."""
    await migrate(dsn, "projects", PROJECT_MIGRATIONS)
    settings = WebhookSettings(
        database_url=dsn,
        internal_token_secret=SECRET,
        encryption_key="a key for the secrets of webhooks in this test",
        webhook_allow_private=True,
    )
    async with (
        TestClient(TestServer(project_app.build_app(settings, InMemoryBus()))) as client,
        TestServer(project_app.build_webhooks_app(settings, bus)) as worker,
    ):
        customer = Customer(client, customer_id)
        _, made = await customer.ask("POST", "/project/create-project", {"name": "Front desk", "description": ""})
        project_id = made["data"]["id"]
        status, _ = await customer.ask(
            "POST", "/project/call-status/add-webhookurl", {"projectId": project_id, "webhookURL": hook}
        )
        assert status == 200
        yield project_id, worker.app[project_app.DATABASE]


@asynccontextmanager
async def calls_api(
    dsn: str, bus: InMemoryBus, folder: Path
) -> AsyncIterator["TestClient[web.Request, web.Application]"]:
    settings = CallApiSettings(
        database_url=dsn, internal_token_secret=SECRET, encryption_key=SECRET, recordings_dir=folder
    )
    async with TestClient(TestServer(build_calls_app(settings, bus))) as client:
        yield client


@pytest.mark.timeout(90)
async def test_events_twice_late_and_in_any_order_reach_a_flaky_webhook_each_once(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    bus, receiver, carrier, tenant = UnreliableBus(), FlakyReceiver(), Switchboard(answers=0.05), new_id()
    async with (
        receiver.serving() as hook,
        webhooks(calls_url, bus, tenant, hook) as (project_id, projects),
        calls_api(calls_url, bus, tmp_path),
        working(db, carrier, tmp_path),
    ):
        recorder = Recorder(db, tenant, project_id)
        made = [await recorder.make() for _ in range(CALLS)]
        await eventually(lambda: len(carrier.legs) == CALLS)
        await asyncio.sleep(0.3)
        for call_id in made:
            carrier.legs[call_id].end()

        async def all_settled() -> bool:
            await projects.execute(
                "UPDATE webhook_deliveries SET next_at = now() WHERE status = 'pending' AND claim IS NULL"
            )  # nobody waits five minutes for a second retry
            wanted = await db.fetchval("SELECT count(*) FROM outbox WHERE type <> 'call.turn'")
            done = await projects.fetchval("SELECT count(*) FROM webhook_deliveries WHERE status = 'delivered'")
            completed = await db.fetchval("SELECT count(*) FROM calls WHERE completed_at IS NOT NULL")
            return bool(completed == CALLS and done == wanted)

        await eventually(all_settled, 60)
        settled = await projects.fetch("SELECT id, subject, sequence FROM webhook_deliveries")
    assert min(bus.repeated, bus.unconfirmed) > 0, "the bus was as unreliable as it should be"
    assert receiver.requests > len(receiver.taken) == len(set(receiver.taken))
    for row in settled:
        if str(row["id"]) in receiver.taken:
            recorder.delivered(row["subject"], row["sequence"])
    recorder.dialled(*carrier.dialled)
    assert await recorder.outcome(with_webhooks=True) == []


@pytest.mark.timeout(90)
async def test_an_api_whose_database_goes_dead_says_so_and_recovers(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    """Nothing is reset: every answer is a 503 within its time, and an open stream goes on where it was."""
    wire, tenant = Wire(URL(calls_url)), new_id()
    async with wire.running() as dsn, calls_api(dsn, InMemoryBus(), tmp_path) as client:
        customer = Customer(client, tenant)
        first_id, call_id = await queue(db, tenant=tenant), await queue(db, tenant=tenant)

        async def next_event() -> dict[str, Any]:
            await stream.content.readuntil(b"data: ")
            event: dict[str, Any] = orjson.loads(await stream.content.readline())
            return event

        async with customer.open("GET", "/events") as stream:
            await customer.ask("POST", f"/call/{first_id}/cancel")
            assert [(await next_event())["type"] for _ in range(2)] == ["call.ended", "call.completed"]
            wire.swallow()
            async with asyncio.timeout(25):
                answers: list[Any] = await asyncio.gather(
                    customer.ask("GET", f"/call/{call_id}"),
                    customer.ask("POST", f"/call/{call_id}/cancel"),
                    client.get("/health/ready"),
                )
            assert [answer[0] for answer in answers[:2]] == [503, 503]
            assert {answer[1]["code"] for answer in answers[:2]} == {"database_unavailable"}
            assert answers[2].status == 503
            wire.restore()

            async def canceled() -> bool:
                return (await customer.ask("POST", f"/call/{call_id}/cancel"))[0] == 200

            await eventually(canceled, 30)
            async with asyncio.timeout(20):
                seen = await next_event()
    assert (seen["type"], seen["subject"]) == ("call.ended", call_id)
    assert (await events_of(db, call_id)) == ["call.ended", "call.completed"]


async def test_a_poison_message_is_set_aside_and_the_rest_goes_on(
    db: Database, rabbitmq_server: str, amqp_prefix: str
) -> None:
    """An event that can never be handled, and bytes that are none, die; those behind them are handled."""
    bus = await AmqpBus.connect(rabbitmq_server, prefix=amqp_prefix, delivery_limit=2, backoff=lambda _failures: 0.01)
    consumer, deleted = new_consumer(db, bus), [new_id() for _ in range(3)]
    try:
        await consumer.start()
        poison = make_event(PROJECT_DELETED, subject="no uuid")
        await bus._exchange.publish(aio_pika.Message(b"no event"), PROJECT_DELETED)
        assert await bus.publish_many([poison, *(make_event(PROJECT_DELETED, subject=id_) for id_ in deleted)], 5)

        async def is_over() -> bool:
            async with DeadLetters.of(rabbitmq_server, QUEUE, prefix=amqp_prefix) as letters:
                is_dead = letters.count == 2
            return is_dead and await db.fetchval("SELECT count(*) FROM deleted_projects") == 3

        await eventually(is_over)
        async with DeadLetters.of(rabbitmq_server, QUEUE, prefix=amqp_prefix) as letters:
            assert sorted(await letters.read(5), key=bool) == [None, poison]
    finally:
        await consumer.close()
        await bus.close()
