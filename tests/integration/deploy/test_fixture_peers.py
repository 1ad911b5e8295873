"""The peers that every other test relies on."""

import aio_pika
import asyncpg


async def test_a_database_is_empty_and_its_own(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        tables = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
        await connection.execute("CREATE TABLE mine (id int)")
        version = connection.get_server_version()
    finally:
        await connection.close()
    assert (tables, version.major) == (0, 18)


async def test_the_next_test_gets_another_database(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT to_regclass('mine')") is None
    finally:
        await connection.close()


async def test_the_node_takes_and_gives_messages(rabbitmq_server: str, amqp_prefix: str) -> None:
    connection = await aio_pika.connect(rabbitmq_server)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(f"{amqp_prefix}.hello", auto_delete=True)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key=queue.name, timeout=5)
        message = await queue.get(timeout=5)
        assert message.body == b"hello"
        await message.ack()
        await queue.delete()
