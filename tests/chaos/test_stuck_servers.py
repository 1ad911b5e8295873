"""RabbitMQ or Postgres runs and takes nothing: live calls go on, and every event arrives once it takes some again."""

import asyncio
import shutil
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import asyncpg
import pytest

from deploy.demo.receiver import Receiver
from deploy.local.databases import dsn_for
from deploy.local.keys import secret
from deploy.local.rabbitmq import find_server
from deploy.local.stack import Stack
from shared.amqp import HEARTBEAT_SECONDS
from tests.support.customers import Customer, new_customer
from tests.support.witness import Witness

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

BUSY = "+12025550101"
SILENT = "+12025550105"
# aiormq gives up a connection on which nothing came for three times (heartbeat + 1 s).
LONGER_THAN_HEARTBEATS = 3 * (HEARTBEAT_SECONDS + 1) + 2


def find_control() -> str:
    server = find_server()
    assert server
    found = shutil.which("rabbitmqctl", path=Path(server).resolve().parent)
    assert found
    return found


async def set_disk_free_limit(stack: Stack, limit: str) -> None:
    """Below it the broker blocks everybody who publishes (https://www.rabbitmq.com/docs/disk-alarms)."""
    process = await asyncio.create_subprocess_exec(
        *(find_control(), "set_disk_free_limit", limit),
        env=stack.keepers["rabbitmq"].unit.env,
        stdout=PIPE,
        stderr=STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@asynccontextmanager
async def disk_alarm(stack: Stack) -> AsyncIterator[None]:
    await set_disk_free_limit(stack, "900000GB")
    try:
        yield
    finally:
        await set_disk_free_limit(stack, "50MB")


@asynccontextmanager
async def frozen(stack: Stack) -> AsyncIterator[None]:
    """Its connections stay open and answer nothing, until both sides have given them up."""
    stack.kill("rabbitmq", signal.SIGSTOP)
    waited = asyncio.create_task(asyncio.sleep(LONGER_THAN_HEARTBEATS))
    try:
        yield
        await waited
    finally:
        stack.kill("rabbitmq", signal.SIGCONT)


async def make_calls_and_wait_for_one(customer: Customer, witness: Witness, talking: str) -> None:
    """The broker is away: new calls are taken, the live one comes to its end, and who watches it hears of that."""
    made = [witness.accepted(await customer.call(BUSY)) for _ in range(3)]
    completed = await customer.follow(talking)
    assert completed["data"]["reason"] == "silence_timeout"
    assert [witness.types_of(call_id) for call_id in made] == [[], [], []]


@pytest.mark.parametrize("fault", [disk_alarm, frozen])
async def test_a_broker_that_takes_nothing(stack: Stack, session: aiohttp.ClientSession, fault: object) -> None:
    customer = await new_customer(stack, session, silenceTimeoutSeconds=8)
    async with Receiver().running() as receiver, Witness.watching(stack) as witness:
        await customer.add_webhook(receiver)
        talking = witness.accepted(await customer.call(SILENT))
        await customer.follow(talking, "call.answered")
        async with fault(stack):  # type: ignore[operator]
            await make_calls_and_wait_for_one(customer, witness, talking)
        await witness.all_complete(60)
        await witness.all_delivered(receiver, 30)
    assert witness.violations(receiver) == []
    ended = [item["data"]["call_id"] for item in receiver.verified if item["type"] == "call.ended"]
    assert len(ended) == len(set(ended)), "each was delivered once"


@asynccontextmanager
async def locked_out(stack: Stack, role: str) -> AsyncIterator[None]:
    """Its connections are cut, and it may open none."""
    dsn = dsn_for(stack.dsns[role], user="postgres", password=secret(stack.var / "secrets", "postgres"))
    administrator = await asyncpg.connect(dsn)
    try:
        await administrator.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        await administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", role)
        yield
    finally:
        await administrator.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        await administrator.close()


async def test_a_server_that_takes_no_more_connections(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session, silenceTimeoutSeconds=8)
    async with Witness.watching(stack) as witness:
        call_id = witness.accepted(await customer.call(SILENT))
        await customer.follow(call_id, "call.answered")
        async with locked_out(stack, "calls"):
            for _ in range(5):
                async with asyncio.timeout(8):
                    status, answer = await customer.api.try_ask("GET", f"/call/{call_id}")
                assert (status, answer["code"]) == (503, "database_unavailable")
                await asyncio.sleep(0.5)
        await witness.all_complete(90)
    assert witness.violations() == []
    [ended] = [event for event in witness.events if event.type == "call.ended"]
    assert ended.data["reason"] == "silence_timeout"
