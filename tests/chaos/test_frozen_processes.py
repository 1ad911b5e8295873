"""A process is stopped for longer than its leases last, with calls at every step, then goes on: nothing counts twice.

Workers frozen at each single step, and their dials, are in test_faults_of_workers.py.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import pytest_asyncio

from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from shared.testing.waiting import eventually
from tests.chaos.conftest import SETTINGS
from tests.support.customers import Customer, new_customer
from tests.support.witness import Witness

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(240)]

BUSY = "+12025550101"
NEVER_ANSWERS = "+12025550102"
SILENT = "+12025550105"
OTHERS = ("call-api", "project-webhooks", "project-api", "auth-api", "gateway")
LEASE_SECONDS = 3
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


@asynccontextmanager
async def frozen(stack: Stack, name: str) -> AsyncIterator[None]:
    stack.kill(name, signal.SIGSTOP)
    try:
        yield
        await asyncio.sleep(LEASE_SECONDS + 2)
    finally:
        stack.kill(name, signal.SIGCONT)


async def calls_at_every_step(customer: Customer, witness: Witness) -> list[str]:
    """One that talks, one that rings, and more than the worker has room for."""
    talking, ringing = [witness.accepted(await customer.call(number)) for number in (SILENT, NEVER_ANSWERS)]
    await eventually(lambda: "call.answered" in witness.types_of(talking))
    await eventually(lambda: "call.ringing" in witness.types_of(ringing))
    return [talking, ringing, *[witness.accepted(await customer.call(BUSY)) for _ in range(4)]]


def reasons(witness: Witness, call_ids: list[str]) -> list[str]:
    ended = {event.subject: event.data["reason"] for event in witness.events if event.type == "call.ended"}
    return [ended[call_id] for call_id in call_ids]


async def test_every_process_but_the_worker(impatient: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(impatient, session, silenceTimeoutSeconds=LEASE_SECONDS + 2)
    made: list[list[str]] = []
    async with Receiver().running() as receiver, Witness.watching(impatient) as witness:
        await customer.add_webhook(receiver)
        for name in OTHERS:
            made.append(await calls_at_every_step(customer, witness))
            async with frozen(impatient, name):
                pass
        await witness.all_complete(60)
        await witness.all_delivered(receiver, 60)
    assert witness.violations(receiver) == []
    for calls in made:
        assert reasons(witness, calls) == ["silence_timeout", "no_answer", *["callee_busy"] * 4]


async def test_the_worker(impatient: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(impatient, session, silenceTimeoutSeconds=60)
    async with Receiver().running() as receiver, Witness.watching(impatient) as witness:
        await customer.add_webhook(receiver)
        made = await calls_at_every_step(customer, witness)
        async with frozen(impatient, "call-worker"):
            await eventually(lambda: witness.types_of(made[0])[-1] == witness.types_of(made[1])[-1] == "call.completed")
            assert witness.types_of(made[-1]) == ["call.queued"]
        await witness.all_complete(60)
        await witness.all_delivered(receiver, 60)
    assert witness.violations(receiver) == []
    talking, ringing, *busy = reasons(witness, made)
    assert (talking, ringing, busy[-1]) == ("worker_lost", "worker_lost", "callee_busy")
    assert set(busy) <= {"callee_busy", "worker_lost", "outcome_unknown"}, "one may have been dialled at that moment"
