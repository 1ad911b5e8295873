"""The peers that every other test relies on."""

import os
import subprocess
import sys
from pathlib import Path

import aio_pika
import asyncpg
import pytest

from shared.db import Database
from tests.support import databases as support
from tests.support.calls import MIGRATIONS
from tests.support.databases import Databases, Tables, quick_folder


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


async def test_a_copy_has_the_tables_and_nothing_of_other_tests(databases: Databases) -> None:
    for _ in range(2):
        async with databases.fresh(Tables("calls", MIGRATIONS)) as dsn:
            db = await Database.connect(dsn, "calls", max_size=1)
            assert await db.fetchval("SELECT count(*) FROM batches") == 0
            assert await db.fetchval("SELECT to_regclass('mine')") is None
            await db.execute("CREATE TABLE mine (id int)")
            await db.close()


def test_what_a_killed_run_left_in_memory_goes_and_what_another_uses_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(support, "MEMORY", tmp_path)
    monkeypatch.setattr(support, "ROOM_BYTES", 0)
    left = tmp_path / "talkstack-tests-left"
    left.mkdir()
    with quick_folder(tmp_path) as used, quick_folder(tmp_path) as mine:
        assert not left.exists()
        assert used.exists()
        assert mine not in {used, tmp_path}
    assert list(tmp_path.iterdir()) == []


def test_without_room_in_memory_the_files_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "MEMORY", tmp_path / "none")
    with quick_folder(tmp_path) as folder:
        assert folder == tmp_path


async def test_the_node_takes_and_gives_messages(rabbitmq_server: str, amqp_prefix: str) -> None:
    connection = await aio_pika.connect(rabbitmq_server)
    async with connection, connection.channel() as channel:
        queue = await channel.declare_queue(f"{amqp_prefix}.hello", auto_delete=True)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), routing_key=queue.name, timeout=5)
        message = await queue.get(timeout=5)
        assert message.body == b"hello"
        await message.ack()
        await queue.delete()


def test_servers_of_whoever_runs_the_tests_are_left_alone() -> None:
    """Databases were made on the server of an exported DATABASE_URL, and queues on that of AMQP_URL."""
    hers = {"DATABASE_URL": "postgresql://127.0.0.1:1/hers", "AMQP_URL": "amqp://127.0.0.1:1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", "its_own or messages"]
    ran = subprocess.run(command, env={**os.environ, **hers}, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout
    assert "2 passed" in ran.stdout
