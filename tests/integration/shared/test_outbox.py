import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from shared import outbox
from shared.background import running
from shared.db import Database
from shared.events import Event
from shared.memory_bus import InMemoryBus
from shared.outbox import Relay
from shared.testing.outbox import add_event
from shared.testing.waiting import eventually


class DeafBus(InMemoryBus):
    """Confirms only what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.confirmed_sequences: set[int] = set()
        self.published: list[Event] = []

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        batch = list(events)
        self.published += batch
        return {event.id for event in batch if event.sequence in self.confirmed_sequences}


@pytest.fixture
async def bus() -> AsyncIterator[InMemoryBus]:
    bus = InMemoryBus()
    yield bus
    await bus.close()


@pytest.fixture
async def received(bus: InMemoryBus) -> list[Event]:
    events: list[Event] = []

    async def keep(event: Event) -> None:
        events.append(event)

    await bus.subscribe("all", ["#"], keep)
    return events


async def test_what_was_added_is_what_is_published(db: Database, bus: InMemoryBus, received: list[Event]) -> None:
    added = await add_event(db, "a", {"z": 1, "a": [1.0, "NUL \x00"], "big": 2**60})
    assert await Relay(db, bus).drain_once() == 1
    await eventually(lambda: received == [added])
    assert list(received[0].data) == ["z", "a", "big"]
    assert await Relay(db, bus).drain_once() == 0


async def test_a_rolled_back_transaction_leaves_no_event(db: Database, bus: InMemoryBus) -> None:
    async def fail() -> None:
        async with db.transaction() as tx:
            await outbox.add(tx, source="t", type="a.b", subject="a", tenant="t", project_id=None, data={})
            raise RuntimeError("the use case failed")

    with pytest.raises(RuntimeError):
        await fail()
    assert await Relay(db, bus).drain_once() == 0
    assert (await add_event(db, "a")).sequence == 1


@pytest.mark.parametrize("seed", range(3))
async def test_sequences_have_no_gaps_whatever_commits_and_rolls_back(db: Database, seed: int) -> None:
    db.acquire_timeout_seconds = 60  # there are more of them than connections
    chance = random.Random(seed)
    plan = [(chance.choice("abc"), chance.random() < 0.3, chance.random() / 200) for _ in range(120)]

    async def use_case(subject: str, fails: bool, seconds: float) -> None:
        async with db.transaction() as tx:
            await outbox.add(tx, source="t", type="a.b", subject=subject, tenant="t", project_id=None, data={})
            await asyncio.sleep(seconds)
            if fails:
                raise RuntimeError("the use case failed")

    await asyncio.gather(*(use_case(*step) for step in plan), return_exceptions=True)
    for subject in "abc":
        committed = sum(name == subject and not fails for name, fails, _ in plan)
        events = await outbox.events_after(db, subject, 0, 1000)
        assert [event.sequence for event in events] == list(range(1, committed + 1))


async def test_events_after_reads_on_from_a_sequence(db: Database) -> None:
    added = [await add_event(db, "a", {"number": number}) for number in range(5)]
    await add_event(db, "b")
    assert await outbox.events_after(db, "a", 2, 2) == added[2:4]


@pytest.mark.parametrize("name", ["NotLower.case", "single", "call.", "a" * 300 + ".b"])
async def test_a_malformed_type_is_refused_and_not_recorded(db: Database, name: str) -> None:
    async def add() -> None:
        async with db.transaction() as tx:
            await outbox.add(tx, source="t", type=name, subject="a", tenant="t", project_id=None, data={})

    with pytest.raises(ValueError, match="type"):
        await add()
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_data_that_would_cut_the_connection_is_refused(db: Database) -> None:
    with pytest.raises(ValueError, match="bytes"):
        await add_event(db, "a", {"text": "x" * (1 << 20)})


async def test_only_the_confirmed_are_marked(db: Database) -> None:
    bus = DeafBus()
    bus.confirmed_sequences = {1, 3}
    for _ in range(3):
        await add_event(db, "a")
    assert await Relay(db, bus).drain_once() == 2
    bus.confirmed_sequences = {2}
    assert await Relay(db, bus).drain_once() == 1
    assert [event.sequence for event in bus.published] == [1, 2, 3, 2]


async def test_a_broker_that_recovers_gets_what_waited(db: Database) -> None:
    bus = DeafBus()
    await add_event(db, "a")
    async with running(Relay(db, bus).run(), "relay"):
        await eventually(lambda: len(bus.published) >= 2)
        bus.confirmed_sequences = {1}
        await eventually(lambda: _all_published(db))


async def test_a_commit_wakes_the_relay(db: Database, bus: InMemoryBus, received: list[Event]) -> None:
    async with running(Relay(db, bus, poll_seconds=3600).run(), "relay"):
        await eventually(lambda: _is_listening(db))
        for number in range(1, 4):
            await add_event(db, "a")
            await eventually(lambda: len(received) == number, 5)  # noqa: B023 - awaited within the round


async def test_polling_finds_what_no_notification_told(db: Database, bus: InMemoryBus, received: list[Event]) -> None:
    async with running(Relay(db, bus, poll_seconds=0.05).run(), "relay"):
        await eventually(lambda: _is_listening(db))
        await db.execute(
            "INSERT INTO outbox (id, type, time, source, subject, tenant, sequence, data)"
            " VALUES (gen_random_uuid(), 'a.b', now(), 's', 'a', 't', 1, '{}')"
        )
        await eventually(lambda: len(received) == 1)


async def test_two_relays_share_the_work_without_loss_or_repetition(
    db: Database, bus: InMemoryBus, received: list[Event]
) -> None:
    db.acquire_timeout_seconds = 60  # there are more who add than connections
    relays = [Relay(db, bus, batch=7) for _ in range(2)]
    async with running(relays[0].run(), "one"), running(relays[1].run(), "other"):
        added = await asyncio.gather(*(add_event(db, str(number % 5)) for number in range(200)))
        await eventually(lambda: len(received) >= len(added))
        await eventually(lambda: _all_published(db))
    assert sorted(event.id for event in received) == sorted(event.id for event in added)


async def test_the_relay_outlives_its_database_connections(
    db: Database, bus: InMemoryBus, received: list[Event]
) -> None:
    async with running(Relay(db, bus, poll_seconds=0.1).run(), "relay") as task:
        await eventually(lambda: _is_listening(db))
        await _cut_connections(db)
        await add_event(db, "a")
        await eventually(lambda: len(received) == 1)
        assert not task.done()


async def test_the_relay_outlives_errors_of_the_database(db: Database, bus: InMemoryBus, received: list[Event]) -> None:
    await add_event(db, "a")
    await db.execute("ALTER TABLE outbox RENAME TO away")
    with capture_logs() as logs:
        async with running(Relay(db, bus).run(), "relay"):
            await eventually(lambda: any(entry["event"] == "outbox_unreadable" for entry in logs))
            await db.execute("ALTER TABLE away RENAME TO outbox")
            await eventually(lambda: len(received) == 1)


async def test_published_events_are_deleted_after_their_retention(db: Database, bus: InMemoryBus) -> None:
    await add_event(db, "a")
    await Relay(db, bus).drain_once()
    await add_event(db, "a")
    async with running(Relay(db, DeafBus(), retention=timedelta(0)).run(), "relay"):
        await eventually(lambda: _rows_are(db, 1))
    assert [event.sequence for event in await outbox.events_after(db, "a", 0, 9)] == [2]
    assert (await add_event(db, "a")).sequence == 3


async def _all_published(db: Database) -> bool:
    return bool(await db.fetchval("SELECT count(*) = 0 FROM outbox WHERE published_at IS NULL"))


async def _rows_are(db: Database, number: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) = $1 FROM outbox", number))


async def _is_listening(db: Database) -> bool:
    return (
        await db.fetchval(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'"
        )
        is True
    )


async def _cut_connections(db: Database) -> None:
    await db.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
