"""Outbox, relay, RabbitMQ and inbox together, with a broker that goes away."""

import asyncio
import signal
import traceback
from collections.abc import AsyncIterator, Iterator

import pytest
from yarl import URL

from deploy.local.rabbitmq import start_rabbitmq
from deploy.local.unit import Running
from shared.amqp import AmqpBus
from shared.background import running
from shared.bus import BrokerUnavailableError
from shared.db import Database, Tx
from shared.events import Event
from shared.inbox import Consumer
from shared.outbox import Relay
from shared.testing.events import make_event
from shared.testing.outbox import add_event
from shared.testing.waiting import eventually


class Broker:
    """A RabbitMQ node of one test's own, which can be stopped, frozen and started again on the same port and data."""

    def __init__(self, programs: list[Running], url: str) -> None:
        self._programs = programs
        self.url = url

    @property
    def node(self) -> Running:
        return self._programs[-1]

    async def stop(self) -> None:
        await self.node.stop()

    async def start(self) -> None:
        self._programs[-1] = Running(self.node.unit, self.node.log)
        await self.node.wait_ready()

    async def freeze(self, bus: AmqpBus) -> None:
        self.node.send(signal.SIGSTOP)

        async def is_silent() -> bool:
            return await bus.publish_many([make_event()], 0.2) == set()

        await eventually(is_silent)

    def thaw(self) -> None:
        self.node.send(signal.SIGCONT)

    async def end(self) -> None:
        for program in reversed(self._programs):
            program.send(signal.SIGCONT)
            await program.stop()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Each test leaves it running; `amqp_prefix` keeps the tests apart."""
    broker = Broker(*asyncio.run(start_rabbitmq(tmp_path_factory.mktemp("broker"))))
    yield broker
    asyncio.run(broker.end())


@pytest.fixture
async def bus(broker: Broker, amqp_prefix: str) -> AsyncIterator[AmqpBus]:
    bus = await AmqpBus.connect(broker.url, prefix=amqp_prefix)
    yield bus
    broker.thaw()
    await bus.close()


async def record(tx: Tx, event: Event) -> None:
    await tx.execute("INSERT INTO effects VALUES ($1)", event.id)


async def effects(db: Database) -> list[str]:
    return [str(row["event_id"]) for row in await db.fetch("SELECT event_id FROM effects")]


async def test_nothing_is_lost_when_the_broker_stops_and_starts_again(
    db: Database, broker: Broker, bus: AmqpBus
) -> None:
    consumer = Consumer(db, bus, queue="q", bindings=["call.*"], handler=record)
    await consumer.start()
    added: list[Event] = []

    async def add_for_ever() -> None:
        while True:
            added.append(await add_event(db, f"subject {len(added) % 3}"))
            await asyncio.sleep(0.005)

    async def all_took_effect() -> bool:
        return bool(await db.fetchval("SELECT (SELECT count(*) FROM effects) >= (SELECT count(*) FROM outbox)"))

    async with running(Relay(db, bus).run(), "relay"):
        async with running(add_for_ever(), "writer"):
            await eventually(lambda: len(added) > 100)
            await broker.stop()
            while_away = len(added)
            await eventually(lambda: len(added) > while_away + 100)
            with pytest.raises(BrokerUnavailableError):
                await bus.ping()
            async with asyncio.timeout(5):
                assert await bus.publish_many([make_event()], 0.1) == set()
            await broker.start()
            after = len(added)
            await eventually(lambda: len(added) > after + 100)
        await eventually(all_took_effect, 40)
    committed = await db.fetch("SELECT id FROM outbox")
    assert len(committed) >= len(added)
    assert sorted(await effects(db)) == sorted(str(row["id"]) for row in committed)
    await bus.ping()
    await consumer.close()


async def test_a_handler_outlives_the_connection_its_event_came_by(broker: Broker, bus: AmqpBus) -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    outcomes: list[str] = []

    async def handler(event: Event) -> None:
        started.set()
        try:
            await finish.wait()
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise
        outcomes.append("finished")

    await bus.subscribe("slow", ["call.*"], handler)
    await bus.publish_many([make_event()], 5)
    await started.wait()
    await broker.stop()
    finish.set()
    await broker.start()
    await eventually(lambda: len(outcomes) == 2)  # unacknowledged, so it came again
    assert outcomes == ["finished", "finished"]


async def test_a_frozen_broker_makes_publishing_time_out_and_not_hang(broker: Broker, bus: AmqpBus) -> None:
    await broker.freeze(bus)
    events = [make_event() for _ in range(10)]
    async with asyncio.timeout(5):
        assert await bus.publish_many(events, 0.5) == set()
    broker.thaw()

    async def is_confirmed() -> bool:
        return await bus.publish_many(events, 2) == {event.id for event in events}

    await eventually(is_confirmed)


async def test_publishes_fail_when_a_stuck_connection_is_cut_and_work_after_it_is_replaced(
    broker: Broker, amqp_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library ends the publish that waits with a CancelledError of its own."""
    monkeypatch.setattr("shared.amqp.HEARTBEAT_SECONDS", 1)
    bus = await AmqpBus.connect(broker.url, prefix=amqp_prefix)
    await broker.freeze(bus)
    async with asyncio.timeout(20):
        assert await bus.publish_many([make_event()], 60) == set()
    async with asyncio.timeout(5):
        assert await bus.publish_many([make_event()], 0.5) == set()
    broker.thaw()
    event = make_event()

    async def is_confirmed() -> bool:
        return await bus.publish_many([event], 2) == {event.id}

    await eventually(is_confirmed)
    await bus.close()


async def test_a_real_cancellation_of_a_publish_is_passed_on(broker: Broker, bus: AmqpBus) -> None:
    await broker.freeze(bus)
    publishing = asyncio.create_task(bus.publish_many([make_event()], 30))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(publishing), 0.1)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    broker.thaw()


async def test_wrong_credentials_fail_at_once_without_naming_them(rabbitmq_server: str) -> None:
    url = str(URL(rabbitmq_server).with_password("my-secret-word"))
    with pytest.raises(BrokerUnavailableError, match=str(URL(url).port)) as caught:
        async with asyncio.timeout(10):
            await AmqpBus.connect(url, patience_seconds=60)
    assert "my-secret-word" not in "".join(traceback.format_exception(caught.value))


async def test_a_broker_that_never_comes_is_reported_within_the_patience(unused_tcp_port: int) -> None:
    with pytest.raises(BrokerUnavailableError, match=f"127.0.0.1:{unused_tcp_port}"):
        async with asyncio.timeout(10):
            await AmqpBus.connect(f"amqp://u:p@127.0.0.1:{unused_tcp_port}/", patience_seconds=1)


async def test_connecting_waits_for_a_broker_that_starts_later(broker: Broker, amqp_prefix: str) -> None:
    await broker.stop()
    connecting = asyncio.create_task(AmqpBus.connect(broker.url, prefix=amqp_prefix))
    await broker.start()
    bus = await connecting
    await bus.ping()
    await bus.close()


async def test_subscribing_fails_while_the_broker_is_away_and_may_be_tried_again(
    broker: Broker, bus: AmqpBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.amqp.OPERATION_TIMEOUT_SECONDS", 0.3)
    received: list[Event] = []

    async def handler(event: Event) -> None:
        received.append(event)

    await broker.freeze(bus)
    with pytest.raises(BrokerUnavailableError):
        await bus.subscribe("late", ["call.*"], handler)
    broker.thaw()
    monkeypatch.undo()
    await bus.subscribe("late", ["call.*"], handler)
    event = make_event()
    await bus.publish_many([event], 10)
    await eventually(lambda: event in received)
