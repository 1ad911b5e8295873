"""What operators see of the calls is what the database holds."""

from datetime import timedelta

from prometheus_client import REGISTRY

from call_service.calls import gauges, repository
from call_service.calls.domain import Status
from call_service.events import repository as feed
from shared.db import Database
from shared.memory_bus import InMemoryBus
from shared.outbox import Relay
from shared.testing.outbox import add_event
from tests.support.calls import claim
from tests.support.workers import LEASE, queue


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
