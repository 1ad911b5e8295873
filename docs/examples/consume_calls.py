"""Books every finished call exactly once: a consumer of `call.*` on RabbitMQ that may crash, restart and run twice.

    pip install aio-pika
    python consume_calls.py amqp://user:password@localhost/ calls.db

Events come at least once and usually in order. So the table's key makes a repeated one harmless, and the highest
`sequence` of a call wins, whatever the order. A message is acknowledged once its row is committed; one that can't be
handled goes back to the queue, and after 20 tries to the dead letters instead of blocking the others.
"""

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

QUEUE = "example.bookkeeping"
TABLE = """
CREATE TABLE IF NOT EXISTS calls (
    call_id TEXT PRIMARY KEY, tenant TEXT NOT NULL, status TEXT NOT NULL, sequence INTEGER NOT NULL
)
"""
BOOK = """
INSERT INTO calls VALUES (?, ?, ?, ?) ON CONFLICT (call_id) DO UPDATE
SET status = excluded.status, sequence = excluded.sequence WHERE excluded.sequence > calls.sequence
"""


def book(database: sqlite3.Connection, event: dict[str, object]) -> None:
    """Keep the newest state of the call that an event is about; commits."""
    data = event["data"]
    if isinstance(data, dict) and "status" in data:  # `call.turn` and the like have none
        with database:
            database.execute(BOOK, (event["subject"], event["tenant"], data["status"], event["sequence"]))


async def consume(amqp_url: str, path: str) -> None:
    """Until cancelled; reconnects by itself."""
    database = sqlite3.connect(path)
    database.execute(TABLE)

    async def handle(message: AbstractIncomingMessage) -> None:
        async with message.process(requeue=True):
            book(database, json.loads(message.body))

    connection = await aio_pika.connect_robust(amqp_url)
    try:
        await subscribe(connection, handle)
        await asyncio.Future()
    finally:
        with contextlib.suppress(TimeoutError):  # of a broker that is stuck: what is not acknowledged comes again
            await asyncio.wait_for(connection.close(), 5)


async def subscribe(
    connection: AbstractConnection, handle: Callable[[AbstractIncomingMessage], Awaitable[None]]
) -> None:
    """Have every event of a call handled, from a queue of our own that keeps them while we are away."""
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=20)
    exchange = await channel.get_exchange("talkstack.events")
    dead = await channel.declare_exchange(f"{QUEUE}.dead", aio_pika.ExchangeType.FANOUT, durable=True)
    await (await channel.declare_queue(f"{QUEUE}.dead", durable=True)).bind(dead)
    queue = await channel.declare_queue(
        QUEUE,
        durable=True,
        arguments={"x-queue-type": "quorum", "x-delivery-limit": 20, "x-dead-letter-exchange": f"{QUEUE}.dead"},
    )
    await queue.bind(exchange, "call.#")  # `call.*` has no `call.recording.ready`: a star is one word
    await queue.consume(handle)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(consume(sys.argv[1], sys.argv[2]))
