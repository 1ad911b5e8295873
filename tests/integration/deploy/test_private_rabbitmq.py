"""A RabbitMQ node of our own: only for this machine, keeps its data, leaves nothing behind."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import aio_pika
import psutil
import pytest

from deploy.local import logs
from deploy.local.rabbitmq import start_rabbitmq
from deploy.local.system import is_free
from deploy.local.unit import Running


async def stop(programs: list[Running]) -> None:
    for program in reversed(programs):
        await program.stop()


async def test_a_node_keeps_messages_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    programs, url = await start_rabbitmq(tmp_path)
    try:
        async with await aio_pika.connect(url) as connection, connection.channel() as channel:
            await channel.declare_queue("kept", durable=True)
            message = aio_pika.Message(b"still here", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, routing_key="kept", timeout=5)
    finally:
        await stop(programs)
    assert all(is_free(program.unit.port) for program in programs)
    assert not any(
        str(tmp_path) in " ".join(process.info["cmdline"] or ()) for process in psutil.process_iter(["cmdline"])
    )
    [line] = logs.recent([tmp_path / "log/rabbitmq.log"], 1)
    assert abs(datetime.now(UTC) - datetime.fromisoformat(line.when)) < timedelta(minutes=5), line

    programs, url = await start_rabbitmq(tmp_path)
    try:
        async with await aio_pika.connect(url) as connection, connection.channel() as channel:
            queue = await channel.declare_queue("kept", durable=True)
            kept = await queue.get(timeout=5)
            assert kept.body == b"still here"
            await kept.ack()
        listening = {
            address.laddr[0]
            for program in programs
            for address in psutil.Process(program.pid).net_connections("tcp")
            if address.status == psutil.CONN_LISTEN
        }
        assert listening <= {"127.0.0.1", "::1"}
    finally:
        await stop(programs)
