"""What operators see of the calls is what the database holds."""

from datetime import timedelta
from pathlib import Path

from prometheus_client import REGISTRY

from call_service.calls import gauges, repository
from call_service.calls.domain import WORKER_FAILED, Status
from call_service.calls.wrap_up import end_queued
from call_service.events import repository as feed
from shared.db import Database
from shared.memory_bus import InMemoryBus
from shared.outbox import Relay
from shared.testing.outbox import add_event
from tests.support.calls import claim
from tests.support.workers import LEASE, PUBLIC, queue, sweeper


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(f"talkstack_{name}", labels)
    assert found is not None
    return found


async def test_waiting_and_live_calls_are_counted(db: Database) -> None:
    first = await queue(db)
    await db.execute("UPDATE calls SET created_at = now() - interval '90 seconds' WHERE id = $1", first)
    await queue(db)
    await gauges.measure(db)
    assert value("calls_queued") == 2
    assert 90 <= value("calls_oldest_queued_seconds") < 100
    [call, _other] = await claim(db, "worker", LEASE, 2)
    async with db.transaction() as tx:
        await repository.advance(tx, call.id, call.fence, Status.INITIATED)
        await repository.advance(tx, call.id, call.fence, Status.RINGING)
    await gauges.measure(db)
    assert (value("calls_queued"), value("calls_oldest_queued_seconds")) == (0, 0)
    assert [value("calls_live", status=status) for status in ("initiated", "ringing", "in-progress")] == [0, 1, 0]


def count(name: str, **labels: str) -> float:
    """Of a series that may not have begun."""
    return REGISTRY.get_sample_value(f"talkstack_{name}_total", labels) or 0


async def test_calls_that_end_are_counted_by_how_once(db: Database) -> None:
    labels = {"status": "failed", "reason": "worker_failed", "fault": "platform", "direction": "outbound"}
    before = count("calls_ended", **labels)
    await queue(db)
    [call] = await claim(db, "worker", LEASE, 1)
    async with db.transaction() as tx:
        await end_queued(tx, call, WORKER_FAILED, PUBLIC)
    async with db.transaction() as tx:
        assert await repository.end(tx, call.id, call.fence, WORKER_FAILED, {}) is None
    assert count("calls_ended", **labels) == before + 1


async def test_calls_of_a_killed_worker_are_counted_and_those_it_had_not_dialled_are_not(
    db: Database, tmp_path: Path
) -> None:
    """The worker that counted them itself was dead."""
    before = count("calls_lost")
    for _ in range(2):
        await queue(db)
    [dialled, _not_yet] = await claim(db, "killed", timedelta(seconds=-1), 2)
    async with db.transaction() as tx:
        await repository.advance(tx, dialled.id, dialled.fence, Status.INITIATED)
    assert await sweeper(db, tmp_path).sweep_once() == 2
    assert count("calls_lost") == before + 1


async def test_events_that_no_stream_has_got_are_counted(db: Database) -> None:
    for _ in range(3):
        await add_event(db, "a")
    await gauges.measure(db)
    assert value("feed_unnumbered") == 3
    await feed.number(db, 2)
    await gauges.measure(db)
    assert value("feed_unnumbered") == 1


async def test_events_that_wait_for_the_broker_are_counted(db: Database) -> None:
    bus, since = InMemoryBus(), timedelta(minutes=2)
    relay = Relay(db, bus)
    await add_event(db, "a")
    await db.execute("UPDATE outbox SET time = time - $1::interval", since)
    await add_event(db, "a")
    await relay.measure()
    assert value("outbox_events", schema="calls") == 2
    assert since.total_seconds() <= value("outbox_oldest_seconds", schema="calls") < since.total_seconds() + 10
    await relay.drain_once()
    await relay.measure()
    assert (value("outbox_events", schema="calls"), value("outbox_oldest_seconds", schema="calls")) == (0, 0)
    await bus.close()
