"""A process is stopped for longer than its leases last, then goes on, with calls at every step: nothing counts twice."""

import asyncio
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from shared.testing.waiting import eventually
from tests.chaos.conftest import SETTINGS
from tests.support.customers import new_customer
from tests.support.witness import Witness

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

BUSY = "+12025550101"
NEVER_ANSWERS = "+12025550102"
SILENT = "+12025550105"
NAMES = ("call-api", "project-webhooks", "project-api", "auth-api", "gateway", "call-worker")
LEASE_SECONDS = 4
SHORT_LEASES = {
    "LEASE_SECONDS": f"{LEASE_SECONDS}",
    "HEARTBEAT_SECONDS": "1",
    "WEBHOOK_LEASE_SECONDS": f"{LEASE_SECONDS}",
    "WEBHOOK_TIMEOUT_SECONDS": "2",
    "WORKER_MAX_CALLS": "3",  # two live ones, and one for all others, which therefore wait in the queue
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def impatient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with await Stack.start(tmp_path_factory.mktemp("impatient"), extra_env=SETTINGS | SHORT_LEASES) as running:
        yield running
        running.at_once.set()


async def test_every_process_in_turn(impatient: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(impatient, session, silenceTimeoutSeconds=2 * LEASE_SECONDS)
    reached: dict[str, set[str]] = {}
    async with Receiver().running() as receiver, Witness.watching(impatient) as witness:
        await customer.add_webhook(receiver)
        for name in NAMES:
            talking, ringing = [witness.accepted(await customer.call(number)) for number in (SILENT, NEVER_ANSWERS)]
            await eventually(lambda talking=talking: "call.answered" in witness.types_of(talking))  # type: ignore[misc]
            await eventually(lambda ringing=ringing: "call.ringing" in witness.types_of(ringing))  # type: ignore[misc]
            made = [witness.accepted(await customer.call(BUSY)) for _ in range(4)]
            impatient.kill(name, signal.SIGSTOP)
            reached[name] = {types[-1] for call_id in made if (types := witness.types_of(call_id))}
            await asyncio.sleep(LEASE_SECONDS + 2)
            impatient.kill(name, signal.SIGCONT)
        await witness.all_complete(60)
        await witness.all_delivered(receiver, 60)
    assert witness.violations(receiver) == []
    print(reached)
    ends = [event.data["reason"] for event in witness.events if event.type == "call.ended"]
    print(ends)
