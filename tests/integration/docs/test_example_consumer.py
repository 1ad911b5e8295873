"""The example consumer of the documentation, run as its readers do."""

import asyncio
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aio_pika
import pytest
from yarl import URL

from shared.amqp import AmqpBus
from shared.ids import new_id
from shared.testing.events import make_event
from shared.testing.waiting import eventually
from tests.support.wire import Wire

SCRIPT = Path(__file__).parents[3] / "docs" / "examples" / "consume_calls.py"
QUEUE = "example.bookkeeping"


@pytest.fixture
async def bus(rabbitmq_server: str) -> AsyncIterator[AmqpBus]:
    bus = await AmqpBus.connect(rabbitmq_server)
    yield bus
    await bus.close()
    async with await aio_pika.connect(rabbitmq_server) as connection:
        channel = await connection.channel()
        for queue in (QUEUE, f"{QUEUE}.dead"):
            await channel.queue_delete(queue)
        await channel.exchange_delete(f"{QUEUE}.dead")


@asynccontextmanager
async def consumer(amqp_url: str, database: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, str(SCRIPT), amqp_url, str(database))
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        try:
            async with asyncio.timeout(30):
                assert await process.wait() in {0, -signal.SIGKILL}
        except TimeoutError:
            process.kill()
            raise


def booked(database: Path) -> dict[str, tuple[str, int]]:
    with sqlite3.connect(database) as connection:
        exists = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'calls'").fetchone()[0]
        rows = connection.execute("SELECT call_id, status, sequence FROM calls").fetchall() if exists else []
    connection.close()
    return {call_id: (status, sequence) for call_id, status, sequence in rows}


async def test_the_example_books_each_call_once_across_a_crash(
    rabbitmq_server: str, bus: AmqpBus, tmp_path: Path
) -> None:
    calls, database = [new_id() for _ in range(5)], tmp_path / "calls.db"

    async def publish(type_: str, sequence: int, status: str, *, times: int = 1) -> None:
        events = [
            make_event(type_, subject=call, sequence=sequence, data={"call_id": call, "status": status})
            for call in calls
        ]
        for _ in range(times):
            assert len(await bus.publish_many(events, 10)) == len(calls)

    async with consumer(rabbitmq_server, database) as first:
        # Until its queue is bound, nothing is kept for it.
        async def hears() -> bool:
            await publish("call.queued", 1, "queued")
            return booked(database).keys() == set(calls)

        await eventually(hears, 60)
        first.kill()
        await first.wait()
    await publish("call.completed", 9, "completed", times=2)
    await publish("call.recording.ready", 8, "in-progress")
    await bus.publish_many([make_event("call.turn", subject=calls[0], sequence=7, data={"text": "Hello."})], 10)
    async with consumer(rabbitmq_server, database):
        await eventually(lambda: booked(database) == dict.fromkeys(calls, ("completed", 9)), 40)


@pytest.mark.usefixtures("bus")
async def test_the_example_ends_when_it_is_told_although_its_broker_is_stuck(
    rabbitmq_server: str, tmp_path: Path
) -> None:
    """It waited for the broker's goodbye for ever."""
    wire = Wire(URL(rabbitmq_server))
    async with wire.running() as url, consumer(url, tmp_path / "calls.db") as process:
        async with await aio_pika.connect(rabbitmq_server) as connection:

            async def listens() -> bool:
                try:
                    async with connection.channel() as channel:
                        found = await channel.declare_queue(QUEUE, passive=True)
                except aio_pika.exceptions.ChannelNotFoundEntity:
                    return False
                return bool(found.declaration_result.consumer_count)

            await eventually(listens, 60)
        wire.swallow()
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
