"""The dead-letter tool on a real RabbitMQ: nothing is lost, and only the queue that they died in gets them again."""

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from click.testing import CliRunner, Result

from deploy.dead_letters import main
from shared.amqp import AmqpBus
from shared.dead_letters import DeadLetters
from shared.events import Event
from shared.testing.events import make_event
from shared.testing.waiting import eventually

QUEUE = "billing"


@pytest.fixture
async def bus(rabbitmq_server: str, amqp_prefix: str) -> AsyncIterator[AmqpBus]:
    bus = await AmqpBus.connect(rabbitmq_server, prefix=amqp_prefix, delivery_limit=1, backoff=lambda _failures: 0.01)
    yield bus
    await bus.close()


class Consumer:
    """Fails until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False
        self.handled: list[Event] = []

    async def handle(self, event: Event) -> None:
        if not self.is_mended:
            raise RuntimeError("not mended")
        self.handled.append(event)


@pytest.fixture
async def consumer(bus: AmqpBus) -> Consumer:
    consumer = Consumer()
    await bus.subscribe(QUEUE, ["call.*"], consumer.handle, prefetch=1)
    return consumer


@pytest.fixture
async def run(rabbitmq_server: str, amqp_prefix: str) -> "Runner":
    return Runner(rabbitmq_server, amqp_prefix)


class Runner:
    """The command line."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    async def __call__(self, *arguments: str) -> Result:
        options = ["--amqp-url", self.url, "--prefix", self.prefix]
        return await asyncio.to_thread(CliRunner().invoke, main, [*arguments, *options])

    async def dead(self) -> int:
        async with DeadLetters.of(self.url, QUEUE, prefix=self.prefix) as letters:
            return letters.count


async def died(bus: AmqpBus, run: Runner, count: int) -> list[Event]:
    events = [make_event("call.ended") for _ in range(count)]
    for event in events:
        await bus.publish_many([event], 5)

        async def is_dead(expected: int = events.index(event) + 1) -> bool:
            return await run.dead() == expected

        await eventually(is_dead)
    return events


async def test_they_are_listed_as_often_as_one_likes_and_stay_in_order(
    bus: AmqpBus, run: Runner, consumer: Consumer
) -> None:
    events = await died(bus, run, 3)
    for _ in range(3):
        result = await run("list", QUEUE, "--limit", "2")
        assert result.exit_code == 0, result.output
        assert [line.split()[0] for line in result.output.splitlines()] == [event.id for event in events[:2]]
    assert f"call.ended  {events[0].subject} #1" in result.output
    assert await run.dead() == 3
    assert consumer.handled == []


async def test_a_replay_gives_them_to_their_own_queue_once(bus: AmqpBus, run: Runner, consumer: Consumer) -> None:
    others: list[Event] = []

    async def keep(event: Event) -> None:
        others.append(event)

    await bus.subscribe("another", ["call.*"], keep)
    events = await died(bus, run, 3)
    await eventually(lambda: len(others) == 3)
    consumer.is_mended = True
    result = await run("replay", QUEUE, "--id", events[1].id)
    assert (result.exit_code, result.output) == (0, "1 replayed.\n")
    await eventually(lambda: consumer.handled == [events[1]])
    assert await run.dead() == 2
    assert (await run("replay", QUEUE)).output == "2 replayed.\n"
    await eventually(lambda: consumer.handled == [events[1], events[0], events[2]])
    assert await run.dead() == 0
    assert len(others) == 3


async def test_what_fails_again_dies_again_and_the_replay_ends(bus: AmqpBus, run: Runner, consumer: Consumer) -> None:
    await died(bus, run, 2)
    # The consumer fails in this very process meanwhile: what it logs is caught as well.
    assert "2 replayed." in (await run("replay", QUEUE)).output.splitlines()

    async def are_dead() -> bool:
        return await run.dead() == 2

    await eventually(are_dead)
    assert consumer.handled == []


async def test_a_message_that_is_no_event_is_shown_as_that(bus: AmqpBus, run: Runner, consumer: Consumer) -> None:
    await bus._exchange.publish(aio_pika.Message(b"no event"), "call.ended")

    async def is_dead() -> bool:
        return await run.dead() == 1

    await eventually(is_dead)
    assert (await run("list", QUEUE)).output == "(no event)\n"


async def test_what_does_not_exist_is_said(run: Runner) -> None:
    result = await run("replay", "nobody")
    assert result.exit_code == 1
    assert "There is no queue" in result.output
    counts = await run("list")
    assert counts.exit_code == 0
    assert "0  project_service.webhooks" in counts.output


async def test_a_broker_that_is_away_is_said(unused_tcp_port: int) -> None:
    result = await Runner(f"amqp://127.0.0.1:{unused_tcp_port}", "")("list", QUEUE)
    assert result.exit_code == 1
    assert "RabbitMQ failed while connecting" in result.output
