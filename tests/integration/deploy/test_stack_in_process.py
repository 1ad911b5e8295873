"""The stack in the care of a test, with stand-ins for the services and real Postgres and RabbitMQ."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import asyncpg
import psutil
import pytest

from deploy.local.services import Service
from deploy.local.stack import Stack
from deploy.local.system import StartError, is_free
from deploy.local.unit import until

STAND_IN = "tests.integration.deploy.stand_in"
SERVICES = (
    Service("auth-api", (STAND_IN, "serve"), "auth", "AUTH_URL"),
    Service("gateway", (STAND_IN, "serve"), stage=2),
)


@pytest.fixture(autouse=True)
def own_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.fixture
async def stack(tmp_path: Path, rabbitmq_server: str) -> AsyncIterator[Stack]:
    """A stack with a Postgres of its own and the tests' RabbitMQ."""
    env = {"AMQP_URL": rabbitmq_server, "COLOUR": "green"}
    async with await Stack.start(tmp_path / "var", extra_env=env, services=SERVICES, migrations=()) as running:
        yield running


async def environment(stack: Stack, name: str) -> dict[str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"{stack.url(name)}/env") as response:
        answer: dict[str, str] = await response.json(content_type=None)
        return answer


async def test_a_process_gets_its_own_database_role_and_the_others_addresses(stack: Stack) -> None:
    auth, gateway = await environment(stack, "auth-api"), await environment(stack, "gateway")
    connection = await asyncpg.connect(auth["DATABASE_URL"])
    try:
        assert await connection.fetchval("SELECT current_user || ' ' || current_database()") == "auth talkstack"
        await connection.execute("CREATE TABLE auth.mine (id int)")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CREATE TABLE calls.theirs (id int)")
    finally:
        await connection.close()
    assert gateway["AUTH_URL"] == stack.url("auth-api")
    assert "DATABASE_URL" not in gateway
    assert gateway["COLOUR"] == "green"
    assert gateway["PORT"] == str(stack.port)


async def test_a_killed_process_is_started_again_at_the_same_address(stack: Stack) -> None:
    killed = stack.kill("auth-api")
    await stack.wait_restarted("auth-api", killed)
    assert stack.keepers["auth-api"].running.pid != killed
    assert (await environment(stack, "auth-api"))["COLOUR"] == "green"


async def test_a_stopped_process_stays_stopped_until_it_is_started(stack: Stack) -> None:
    await stack.stop_one("auth-api")
    port = stack.keepers["auth-api"].unit.port
    # The keeper looks ten times a second; it would have restarted the gateway, killed after it, by now.
    await stack.wait_restarted("gateway", stack.kill("gateway"))
    assert is_free(port)
    await stack.start_one("auth-api")
    assert not is_free(port)


async def test_postgres_keeps_its_data_and_address_over_a_restart(stack: Stack) -> None:
    dsn = stack.dsns["calls"]
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE calls.kept AS SELECT 42 AS value")
    await connection.close()
    await stack.restart("postgres")
    connection = await asyncpg.connect(dsn)
    try:
        assert await connection.fetchval("SELECT value FROM calls.kept") == 42
    finally:
        await connection.close()


async def test_a_stop_leaves_no_process_and_no_port(tmp_path: Path, rabbitmq_server: str) -> None:
    env = {"AMQP_URL": rabbitmq_server}
    stack = await Stack.start(tmp_path / "var", extra_env=env, services=SERVICES, migrations=())
    programs = [keeper.running for keeper in stack.keepers.values()]
    children = psutil.Process().children(recursive=True)
    mine = {program.pid for program in programs}
    assert mine <= {child.pid for child in children}
    await stack.stop()
    assert not any(psutil.pid_exists(pid) for pid in mine)
    assert all(is_free(program.unit.port) for program in programs)
    assert "stopped in good order" in stack.log("gateway").read_text()


async def test_processes_with_work_may_finish_and_a_second_request_ends_that(
    tmp_path: Path, rabbitmq_server: str
) -> None:
    env = {"AMQP_URL": rabbitmq_server, "DRAIN_SECONDS": "600"}
    slow = (Service("gateway", (STAND_IN, "slow")),)
    stack = await Stack.start(tmp_path / "var", extra_env=env, services=slow, migrations=())
    gateway = stack.keepers["gateway"].running
    stack.kill("gateway", signal.SIGTERM)
    assert gateway.is_alive
    stack.at_once.set()
    await stack.stop()
    assert gateway.reap() == -signal.SIGKILL


async def test_a_process_that_cannot_start_ends_the_start_with_its_own_words(
    tmp_path: Path, rabbitmq_server: str
) -> None:
    services = (*SERVICES[:1], Service("gateway", (STAND_IN, "fail"), stage=2))
    before = psutil.Process().children(recursive=True)
    with pytest.raises(StartError, match=r"gateway ended with status 1(.|\n)*COLOUR is missing"):
        await Stack.start(tmp_path / "var", extra_env={"AMQP_URL": rabbitmq_server}, services=services, migrations=())
    assert psutil.Process().children(recursive=True) == before


async def test_a_migration_that_fails_ends_the_start(tmp_path: Path, rabbitmq_server: str) -> None:
    migrations = (Service("auth-migrate", (STAND_IN, "fail"), "auth"),)
    with pytest.raises(StartError, match=r"auth-migrate failed with status 1(.|\n)*COLOUR is missing"):
        await Stack.start(
            tmp_path / "var", extra_env={"AMQP_URL": rabbitmq_server}, services=SERVICES, migrations=migrations
        )


async def test_a_second_start_finds_the_data_and_secrets_of_the_first(tmp_path: Path, rabbitmq_server: str) -> None:
    secrets = []
    for _ in range(2):
        env = {"AMQP_URL": rabbitmq_server}
        async with await Stack.start(tmp_path / "var", extra_env=env, services=SERVICES, migrations=()) as stack:
            secrets.append((await environment(stack, "gateway"))["INTERNAL_TOKEN_SECRET"])
            connection = await asyncpg.connect(stack.dsns["auth"])
            await connection.execute("CREATE TABLE IF NOT EXISTS auth.starts (id int)")
            await connection.execute("INSERT INTO auth.starts VALUES (1)")
            starts = await connection.fetchval("SELECT count(*) FROM auth.starts")
            await connection.close()
    assert secrets[0] == secrets[1]
    assert len(secrets[0]) >= 32
    assert starts == 2


async def test_a_port_in_use_is_named_with_its_owner(stack: Stack, tmp_path: Path) -> None:
    with pytest.raises(StartError, match=rf"Port {stack.port} is in use by \S+ \(pid \d+\): .* PORT={stack.port + 1}"):
        await Stack.start(tmp_path / "other", port=stack.port)


async def test_a_log_shows_when_a_program_ends_unasked(tmp_path: Path, rabbitmq_server: str) -> None:
    said: list[str] = []
    env = {"AMQP_URL": rabbitmq_server}
    async with await Stack.start(
        tmp_path / "var", extra_env=env, services=SERVICES, migrations=(), report=said.append
    ) as stack:
        stack.kill("gateway")
        await until(lambda: "gateway was started again" in said)
    assert "gateway ended with status -9; starting it again in 0.5 s" in said
