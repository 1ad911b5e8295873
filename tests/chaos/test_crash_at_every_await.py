"""A component ends at its first await, at its second, at every one: nothing is lost, nothing happens twice.

The awaits are enumerated, not sampled: each round ends one later, until a round comes through. The databases are real.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import timedelta

import pytest

from project_service import app as project_app
from project_service.__main__ import MIGRATIONS as PROJECT_MIGRATIONS
from project_service.webhooks.deliverer import Deliverer
from project_service.webhooks.events import on_call_event
from shared import outbox
from shared.bus import EventHandler
from shared.clock import SystemClock
from shared.db import Database, Tx
from shared.events import Event
from shared.http_client import GuardedClient
from shared.ids import new_id
from shared.inbox import Consumer
from shared.migrations import migrate
from shared.outbox import Relay
from shared.secret_box import SecretBox
from shared.testing.events import make_event
from tests.support.crashes import die_everywhere
from tests.support.history import Accepted, Delivered, Entry, Happened, violations
from tests.support.sinks import KEY, Sink, project_with_hook, settings_of

pytestmark = [pytest.mark.timeout(120), pytest.mark.parametrize("fault", ["killed", "cancelled"])]
LIFE = {"call.queued": "queued", "call.ended": "busy", "call.completed": "busy"}


def pool(dsn: str, schema: str = "calls") -> Callable[[], Awaitable[Database]]:
    return lambda: Database.connect(dsn, schema, max_size=4)


class Broker:
    """An `EventBus` that gives up in the middle if its client does; it keeps what was not acknowledged."""

    def __init__(self) -> None:
        self.taken: list[Event] = []
        self.kept: list[Event] = []
        self._handler: EventHandler | None = None

    async def publish_many(self, events: Iterable[Event], timeout_seconds: float) -> set[str]:
        confirmed = set()
        for event in events:
            await asyncio.sleep(0)
            self.taken.append(event)
            await asyncio.sleep(0)
            confirmed.add(event.id)
        return confirmed

    async def subscribe(
        self,
        queue: str,
        bindings: Sequence[str],
        handler: EventHandler,
        *,
        prefetch: int = 32,
        expires_seconds: int | None = None,
    ) -> "Broker":
        self._handler = handler
        return self

    async def deliver(self) -> None:
        """Hand out what is kept; what was handled is acknowledged a moment later."""
        assert self._handler
        while self.kept:
            await self._handler(self.kept[0])
            await asyncio.sleep(0)
            del self.kept[0]

    async def ping(self) -> None:
        """It is always there."""

    async def close(self, timeout_seconds: float = 10) -> None:
        """What is kept stays."""


def happened(events: Iterable[Event]) -> list[Entry]:
    return [Happened(event.subject, event.sequence, event.type, LIFE[event.type]) for event in events]


async def test_relay(db: Database, calls_url: str, fault: str) -> None:
    broker, history = Broker(), list[Entry]()

    async def prepare() -> None:
        history.append(Accepted(subject := new_id()))
        async with db.transaction() as tx:
            for type_ in LIFE:
                await outbox.add(
                    tx, source="test", type=type_, subject=subject, tenant="t", project_id=None, data={"any": 1}
                )

    async def is_done() -> bool:
        return not await db.fetchval("SELECT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)")

    async def recover() -> None:
        """A successor starts at once."""

    deaths = await die_everywhere(
        pool(calls_url),
        fault,
        prepare=prepare,
        work=lambda own: Relay(own, broker, batch=2).run(),
        recover=recover,
        is_done=is_done,
    )
    assert deaths > 20
    assert len(broker.taken) > len({event.id for event in broker.taken}), (
        "some death was between publishing and marking"
    )
    assert violations([*history, *happened(broker.taken)]) == []


async def test_inbox(db: Database, calls_url: str, fault: str) -> None:
    broker, events = Broker(), list[Event]()
    await db.execute("CREATE TABLE effects (event_id uuid)")
    handled = 0

    async def handle(tx: Tx, event: Event) -> None:
        nonlocal handled
        handled += 1
        await tx.execute("INSERT INTO effects (event_id) VALUES ($1)", event.id)

    async def consume(own: Database) -> None:
        consumer = Consumer(own, broker, queue="effects", bindings=["#"], handler=handle)
        await consumer.start()
        await broker.deliver()
        await consumer.close()

    async def prepare() -> None:
        new = [make_event(), make_event()]
        events.extend(new)
        broker.kept = [*new, new[0]]

    async def is_done() -> bool:
        return not broker.kept

    async def recover() -> None:
        """What was not acknowledged is delivered again."""

    deaths = await die_everywhere(
        pool(calls_url), fault, prepare=prepare, work=consume, recover=recover, is_done=is_done
    )
    assert deaths > 10
    assert handled > len(events), "some death was in the middle of a handler"
    effects = [str(row["event_id"]) for row in await db.fetch("SELECT event_id FROM effects")]
    assert sorted(effects) == sorted(event.id for event in events)


async def deliver(own: Database) -> None:
    secrets = SecretBox(KEY, project_app.WEBHOOK_SECRETS)
    async with GuardedClient(allow_private=True) as client:
        await Deliverer(own, client, secrets, SystemClock(), concurrency=8, lease=timedelta(seconds=45)).run()


async def test_webhook_scheduler(database_url: str, fault: str) -> None:
    await migrate(database_url, "projects", PROJECT_MIGRATIONS)
    sink, events, tenant = Sink(), list[Event](), new_id()
    projects = await Database.connect(database_url, "projects", max_size=4)
    async with sink.serving() as hook:
        project_id = await project_with_hook(settings_of(database_url), tenant, hook)

        async def prepare() -> None:
            call_id = new_id()
            async with projects.transaction() as tx:
                for number, type_ in enumerate(LIFE, start=1):
                    event = make_event(type_, subject=call_id, tenant=tenant, project_id=project_id, sequence=number)
                    events.append(event)
                    await on_call_event(tx, event)

        async def recover() -> None:
            await projects.execute("UPDATE webhook_deliveries SET next_at = now() WHERE status = 'pending'")

        async def is_done() -> bool:
            return not await projects.fetchval(
                "SELECT EXISTS (SELECT FROM webhook_deliveries WHERE status IN ('pending', 'waiting'))"
            )

        deaths = await die_everywhere(
            pool(database_url, "projects"), fault, prepare=prepare, work=deliver, recover=recover, is_done=is_done
        )
    rows = await projects.fetch("SELECT id, subject, sequence, status FROM webhook_deliveries")
    await projects.close()
    assert deaths > 20
    assert len(sink.taken) > len(set(sink.taken)), "some death was between the receiver's answer and its record"
    history: list[Entry] = [Accepted(event.subject) for event in events]
    arrived: dict[str, list[int]] = defaultdict(list)
    of_id = {str(row["id"]): row for row in rows}
    for id_ in dict.fromkeys(sink.taken):
        row = of_id[id_]
        history.append(Delivered(row["subject"], row["sequence"]))
        arrived[row["subject"]].append(row["sequence"])
    assert violations([*history, *happened(events)], with_webhooks=True) == []
    assert {tuple(numbers) for numbers in arrived.values()} == {(1, 2, 3)}
    assert {row["status"] for row in rows} == {"delivered"}
