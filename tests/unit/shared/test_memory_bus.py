"""What only the twin does; the rest is in `tests/contract/test_event_bus.py`."""

import asyncio

import orjson

from shared.deliveries import Dispatcher
from shared.events import Event
from shared.memory_bus import InMemoryBus
from shared.testing.events import make_event
from shared.testing.waiting import eventually


async def test_a_full_queue_leaves_events_unconfirmed_and_later_takes_them() -> None:
    bus = InMemoryBus(capacity=2)
    release = asyncio.Event()
    handled: list[Event] = []

    async def wait(event: Event) -> None:
        await release.wait()
        handled.append(event)

    await bus.subscribe("q", ["#"], wait, prefetch=1)
    events = [make_event() for _ in range(3)]
    assert await bus.publish_many(events, 0.02) == {events[0].id, events[1].id}
    release.set()
    assert await bus.publish_many(events[2:], 5) == {events[2].id}
    await eventually(lambda: handled == events)
    await bus.close()


async def test_subscribers_cannot_change_each_others_event() -> None:
    bus = InMemoryBus()
    seen: list[Event] = []

    async def vandal(event: Event) -> None:
        event.data["changed"] = True
        seen.append(event)

    await bus.subscribe("one", ["#"], vandal)
    await bus.subscribe("other", ["#"], vandal)
    await bus.publish_many([make_event()], 1)
    await eventually(lambda: len(seen) == 2)
    assert seen[0].data is not seen[1].data
    await bus.close()


async def test_dead_letters_are_bounded() -> None:
    bus = InMemoryBus(capacity=2, delivery_limit=0, backoff=lambda _: 0)

    async def fail(event: Event) -> None:
        raise RuntimeError("always")

    await bus.subscribe("q", ["#"], fail)
    events = [make_event() for _ in range(4)]
    for event in events:
        await bus.publish_many([event], 1)
    await eventually(lambda: bus.dead_letters("q") == events[2:])
    await bus.close()


class ForeignDelivery:
    """Something on a queue that may be no event of ours."""

    def __init__(self, body: bytes, failures: int = 0) -> None:
        self.body = body
        self.failures = failures
        self.outcome: list[str] = []

    async def accept(self) -> None:
        self.outcome.append("accepted")

    async def retry(self) -> None:
        self.outcome.append("retried")

    async def reject(self) -> None:
        self.outcome.append("rejected")


async def test_what_is_no_event_goes_to_the_dead_letters_at_once() -> None:
    async def never(event: Event) -> None:
        raise AssertionError("not to be called")

    for body in (b"\xff", orjson.dumps({"type": "call.ended"})):
        delivery = ForeignDelivery(body)
        await Dispatcher("q", never, 1).dispatch(delivery)
        assert delivery.outcome == ["rejected"]


async def test_a_failed_delivery_is_held_as_long_as_its_failures_demand_or_until_the_close() -> None:
    asked: list[int] = []

    def an_hour(failures: int) -> float:
        asked.append(failures)
        return 3600

    async def fail(event: Event) -> None:
        raise RuntimeError("always")

    dispatcher = Dispatcher("q", fail, 1, an_hour)
    delivery = ForeignDelivery(make_event().to_bytes(), failures=4)
    task = dispatcher.dispatch(delivery)
    await eventually(lambda: asked == [4])
    assert not task.done()
    await dispatcher.close(timeout_seconds=5)
    assert delivery.outcome == ["retried"]


async def test_a_held_delivery_takes_no_handlers_place() -> None:
    async def fail(event: Event) -> None:
        raise RuntimeError("always")

    dispatcher = Dispatcher("q", fail, 1, lambda _: 3600)
    deliveries = [ForeignDelivery(make_event().to_bytes()) for _ in range(3)]
    for delivery in deliveries:
        dispatcher.dispatch(delivery)
    await dispatcher.close(timeout_seconds=5)
    assert [delivery.outcome for delivery in deliveries] == [["retried"]] * 3
