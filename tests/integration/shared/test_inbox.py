import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.local.postgres import start_postgres
from deploy.local.unit import Running
from shared.db import Database, Tx
from shared.events import Event
from shared.inbox import INBOX_TABLE, Consumer
from shared.memory_bus import InMemoryBus
from shared.outbox import Relay
from shared.testing.events import make_event
from shared.testing.outbox import add_event
from shared.testing.waiting import eventually

SCHEMA = "shop"


@pytest.fixture
async def bus() -> AsyncIterator[InMemoryBus]:
    bus = InMemoryBus(delivery_limit=1, backoff=lambda _: 0.01)
    yield bus
    await bus.close()


async def record(tx: Tx, event: Event) -> None:
    await tx.execute("INSERT INTO effects VALUES ($1)", event.id)


async def effects(db: Database) -> list[str]:
    return [str(row["event_id"]) for row in await db.fetch("SELECT event_id FROM effects")]


async def has_effects(db: Database, *events: Event) -> bool:
    return {event.id for event in events} <= set(await effects(db))


async def inbox_size(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM inbox"))


async def test_an_event_that_comes_many_times_takes_effect_once(db: Database, bus: InMemoryBus) -> None:
    consumer = Consumer(db, bus, queue="q", bindings=["#"], handler=record)
    await consumer.start()
    event, last = make_event(), make_event()
    await bus.publish_many([event] * 20, 5)
    await bus.publish_many([last], 5)
    await eventually(lambda: has_effects(db, event, last))
    await consumer.close()
    assert sorted(await effects(db)) == sorted([event.id, last.id])
    assert not bus.dead_letters("q")


async def test_each_queue_has_its_own_memory(db: Database, bus: InMemoryBus) -> None:
    consumers = [Consumer(db, bus, queue=name, bindings=["#"], handler=record) for name in ("one", "other")]
    for consumer in consumers:
        await consumer.start()
    await bus.publish_many([make_event()], 5)

    async def both() -> bool:
        return len(await effects(db)) == 2

    await eventually(both)
    for consumer in consumers:
        await consumer.close()


async def test_a_handler_that_fails_leaves_nothing_behind_and_runs_again(db: Database, bus: InMemoryBus) -> None:
    failures = 0

    async def fail_once(tx: Tx, event: Event) -> None:
        nonlocal failures
        await record(tx, event)
        if failures == 0:
            failures += 1
            raise RuntimeError("after it wrote")

    consumer = Consumer(db, bus, queue="q", bindings=["#"], handler=fail_once)
    await consumer.start()
    event = make_event()
    await bus.publish_many([event], 5)
    await eventually(lambda: has_effects(db, event))
    await consumer.close()
    assert await effects(db) == [event.id]


async def test_a_handler_that_hangs_is_rolled_back_and_ends_as_a_dead_letter(db: Database, bus: InMemoryBus) -> None:
    async def hang(tx: Tx, event: Event) -> None:
        await record(tx, event)
        await asyncio.Event().wait()

    consumer = Consumer(db, bus, queue="q", bindings=["#"], handler=hang, handler_timeout=timedelta(milliseconds=50))
    await consumer.start()
    event = make_event()
    await bus.publish_many([event], 5)
    await eventually(lambda: bus.dead_letters("q") == [event])
    await consumer.close()
    assert await effects(db) == []
    assert await inbox_size(db) == 0


class CrashesBeforeMarking(InMemoryBus):
    """Publishes, and then dies before the relay can mark what it published."""

    def __init__(self, bus: InMemoryBus) -> None:
        super().__init__()
        self._bus = bus

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        await self._bus.publish_many(events, timeout_seconds)
        raise SystemError("the process was killed")


async def test_a_crash_between_publishing_and_marking_delivers_twice_and_takes_effect_once(
    db: Database, bus: InMemoryBus
) -> None:
    delivered: list[Event] = []

    async def count(event: Event) -> None:
        delivered.append(event)

    await bus.subscribe("deliveries", ["#"], count)
    consumer = Consumer(db, bus, queue="q", bindings=["#"], handler=record)
    await consumer.start()
    event = await add_event(db, "a")
    with pytest.raises(SystemError):
        await Relay(db, CrashesBeforeMarking(bus)).drain_once()
    assert await Relay(db, bus).drain_once() == 1
    await eventually(lambda: delivered == [event, event])
    await eventually(lambda: has_effects(db, event))
    await consumer.close()
    assert await effects(db) == [event.id]


async def test_what_was_handled_long_ago_is_forgotten(db: Database, bus: InMemoryBus) -> None:
    await db.execute("INSERT INTO inbox VALUES ('q', gen_random_uuid(), now() - interval '15 days')")
    await db.execute("INSERT INTO inbox VALUES ('q', gen_random_uuid(), now() - interval '13 days')")
    consumer = Consumer(db, bus, queue="q", bindings=["#"], handler=record)
    await consumer.start()

    async def one_is_left() -> bool:
        return await inbox_size(db) == 1

    await eventually(one_is_left)
    await consumer.close()


async def test_an_outage_of_the_database_uses_up_no_tries(
    bus: InMemoryBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bus gives one second try only, and the outage lasts for several looks at the database per event."""
    pings = 0

    async def counted_ping(self: Database) -> None:
        nonlocal pings
        pings += 1
        await self.fetchval("SELECT 1")

    monkeypatch.setattr(Database, "ping", counted_ping)
    server, dsn = await start_postgres(tmp_path)
    try:
        db = await Database.connect(dsn, SCHEMA, max_size=4)
        await db.execute(f"CREATE SCHEMA {SCHEMA}")
        await db.execute(INBOX_TABLE)
        await db.execute("CREATE TABLE effects (event_id uuid NOT NULL)")
        consumer = Consumer(db, bus, queue="q", bindings=["#"], handler=record)
        await consumer.start()
        await server.stop()
        events = [make_event() for _ in range(6)]
        await bus.publish_many(events, 5)
        await eventually(lambda: pings > 2 * len(events))
        server = Running(server.unit, server.log)
        await server.wait_ready()
        await eventually(lambda: has_effects(db, *events))
        await consumer.close()
        assert not bus.dead_letters("q")
        await db.close()
    finally:
        await server.stop()
