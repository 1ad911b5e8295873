"""What `shared.bus` promises, checked on RabbitMQ and on its twin in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import aio_pika
import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from shared.amqp import AmqpBus
from shared.bus import BrokerUnavailableError, EventBus
from shared.events import Event
from shared.memory_bus import InMemoryBus
from shared.testing.events import make_event
from shared.testing.waiting import eventually

DELIVERY_LIMIT = 3
QUEUES = ("first", "second")


def _at_once(failures: int) -> float:
    return 0.01


class Harness:
    """A bus, and ways to look into its queues."""

    def __init__(
        self,
        bus: EventBus,
        dead_letters: Callable[[str], Awaitable[list[Event]]],
        has_queue: Callable[[str], Awaitable[bool]],
    ) -> None:
        self.bus = bus
        self.dead_letters = dead_letters
        self.has_queue = has_queue

    async def publish(self, *events: Event) -> None:
        assert await self.bus.publish_many(events, 10) == {event.id for event in events}


@pytest.fixture(params=["memory", "rabbitmq"])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    if request.param == "memory":
        memory = InMemoryBus(delivery_limit=DELIVERY_LIMIT, backoff=_at_once)

        async def dead_in_memory(queue: str) -> list[Event]:
            return memory.dead_letters(queue)

        async def is_in_memory(queue: str) -> bool:
            return queue in memory._queues

        yield Harness(memory, dead_in_memory, is_in_memory)
        await memory.close()
        return
    url = request.getfixturevalue("rabbitmq_server")
    prefix = request.getfixturevalue("amqp_prefix")
    bus = await AmqpBus.connect(url, prefix=prefix, delivery_limit=DELIVERY_LIMIT, backoff=_at_once)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        dead: dict[str, list[Event]] = {name: [] for name in QUEUES}

        async def dead_in_rabbitmq(queue: str) -> list[Event]:
            store = await channel.declare_queue(f"{prefix}{queue}.dead", passive=True)
            while message := await store.get(fail=False, no_ack=True):
                dead[queue].append(Event.from_bytes(message.body))
            return dead[queue]

        async def is_in_rabbitmq(queue: str) -> bool:
            async with connection.channel() as probe:
                with suppress(ChannelNotFoundEntity):
                    await probe.declare_queue(prefix + queue, passive=True)
                    return True
            return False

        yield Harness(bus, dead_in_rabbitmq, is_in_rabbitmq)
        await bus.close()
        for name in QUEUES:
            await channel.queue_delete(prefix + name)
            await channel.queue_delete(f"{prefix}{name}.dead")
        await channel.exchange_delete(f"{prefix}talkstack.events")


class Collector:
    """A handler that keeps what it gets, and fails while it is told to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failing: set[str] = set()

    async def __call__(self, event: Event) -> None:
        self.events.append(event)
        if event.id in self.failing:
            raise RuntimeError("told to fail")

    def has(self, *events: Event) -> Callable[[], bool]:
        return lambda: {event.id for event in events} <= {event.id for event in self.events}


async def test_an_event_arrives_as_it_was_sent(harness: Harness) -> None:
    collector = Collector()
    await harness.bus.subscribe("first", ["call.*"], collector)
    sent = make_event(project_id="p", sequence=7, data={"text": "Grüß Gott \x00", "nested": [1, 2.5, None, True]})
    await harness.publish(sent)
    await eventually(collector.has(sent))
    assert collector.events == [sent]


async def test_bindings_choose_by_topic(harness: Harness) -> None:
    calls, everything = Collector(), Collector()
    await harness.bus.subscribe("first", ["call.*", "batch.#"], calls)
    await harness.bus.subscribe("second", ["#"], everything)
    names = ["call.ended", "call.transcript.ready", "batch.a.b.c", "agent.created"]
    events = [make_event(name) for name in names]
    await harness.publish(*events)
    await eventually(everything.has(*events))
    await eventually(calls.has(events[0], events[2]))
    assert sorted(event.type for event in calls.events) == ["batch.a.b.c", "call.ended"]


async def test_an_event_for_nobody_counts_as_confirmed(harness: Harness) -> None:
    await harness.publish(make_event("nobody.listens"))


async def test_subscriptions_to_one_queue_share_its_events(harness: Harness) -> None:
    one, other = Collector(), Collector()
    await harness.bus.subscribe("first", ["call.*"], one, prefetch=1)
    await harness.bus.subscribe("first", ["call.*"], other, prefetch=1)
    events = [make_event() for _ in range(40)]
    await harness.publish(*events)
    await eventually(lambda: len(one.events) + len(other.events) >= len(events))
    received = [event.id for event in one.events + other.events]
    assert sorted(received) == sorted(event.id for event in events)
    assert one.events
    assert other.events


async def test_a_queue_keeps_events_while_nobody_is_subscribed(harness: Harness) -> None:
    before, after = Collector(), Collector()
    await (await harness.bus.subscribe("first", ["call.*"], before)).close()
    event = make_event()
    await harness.publish(event)
    await harness.bus.subscribe("first", ["call.*"], after)
    await eventually(after.has(event))
    assert not before.events


async def test_a_failed_event_comes_again(harness: Harness) -> None:
    attempts: list[str] = []

    async def fail_twice(event: Event) -> None:
        attempts.append(event.id)
        if len(attempts) < 3:
            raise RuntimeError("told to fail")

    await harness.bus.subscribe("first", ["call.*"], fail_twice)
    await harness.publish(make_event())
    await eventually(lambda: len(attempts) == 3)
    assert await harness.dead_letters("first") == []


async def test_an_expiring_queue_is_gone_some_time_after_its_subscription(harness: Harness) -> None:
    collector = Collector()
    event = make_event()
    subscription = await harness.bus.subscribe("first", ["call.*"], collector, expires_seconds=1)
    await harness.publish(event)
    await eventually(collector.has(event))
    await subscription.close()

    async def is_gone() -> bool:
        return not await harness.has_queue("first")

    await eventually(is_gone)
    await harness.publish(make_event())


async def test_an_event_that_always_fails_ends_as_a_dead_letter(harness: Harness) -> None:
    collector = Collector()
    poison, sound = make_event(), make_event()
    collector.failing.add(poison.id)
    await harness.bus.subscribe("first", ["call.*"], collector)
    await harness.publish(poison, sound)

    async def is_dead() -> bool:
        return await harness.dead_letters("first") == [poison]

    await eventually(is_dead)
    assert collector.events.count(poison) == DELIVERY_LIMIT + 1
    assert collector.events.count(sound) == 1


async def test_a_handler_that_raises_cancelled_error_only_fails(harness: Harness) -> None:
    attempts: list[str] = []

    async def handler(event: Event) -> None:
        attempts.append(event.id)
        if len(attempts) == 1:
            raise asyncio.CancelledError

    await harness.bus.subscribe("first", ["call.*"], handler)
    await harness.publish(make_event())
    await eventually(lambda: len(attempts) == 2)


async def test_at_most_prefetch_handlers_run_at_a_time(harness: Harness) -> None:
    running, most, done = 0, 0, 0
    release = asyncio.Event()

    async def handler(event: Event) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        done += 1

    await harness.bus.subscribe("first", ["call.*"], handler, prefetch=4)
    await harness.publish(*(make_event() for _ in range(20)))
    await eventually(lambda: running == 4)
    release.set()
    await eventually(lambda: done == 20)
    assert most == 4


async def test_close_waits_for_the_handler_that_runs(harness: Harness) -> None:
    started, release, finished = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def handler(event: Event) -> None:
        started.set()
        await release.wait()
        finished.set()

    subscription = await harness.bus.subscribe("first", ["call.*"], handler)
    await harness.publish(make_event())
    await started.wait()
    closing = asyncio.create_task(subscription.close())
    await asyncio.sleep(0)
    assert not closing.done()
    release.set()
    await closing
    assert finished.is_set()


async def test_close_gives_back_what_does_not_finish(harness: Harness) -> None:
    started = asyncio.Event()
    collector = Collector()

    async def hanging(event: Event) -> None:
        started.set()
        await asyncio.Event().wait()

    subscription = await harness.bus.subscribe("first", ["call.*"], hanging)
    event = make_event()
    await harness.publish(event)
    await started.wait()
    await subscription.close(timeout_seconds=0.01)
    await harness.bus.subscribe("first", ["call.*"], collector)
    await eventually(collector.has(event))


async def test_ping_tells_whether_the_bus_is_open(harness: Harness) -> None:
    await harness.bus.ping()
    await harness.bus.close()
    with pytest.raises(BrokerUnavailableError):
        await harness.bus.ping()
