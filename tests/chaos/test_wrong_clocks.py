"""The clock of one process is five minutes and ten seconds ahead or behind: what must be refused is, clearly, and all
else goes on.

Leases live by the clock of the database. Internal tokens are good for 30 s, access tokens for 2 h; receivers of
webhooks take a message for five minutes (Standard Webhooks).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg
import pytest

from deploy.demo.api import Api
from deploy.demo.receiver import Receiver
from deploy.local.stack import Stack
from deploy.local.system import StartError
from deploy.local.unit import Unit
from shared.testing.waiting import eventually
from tests.support.customers import new_customer
from tests.support.witness import Witness

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

BUSY = "+12025550101"
SILENT = "+12025550105"
WRONG_SECONDS = 310


def with_clock(unit: Unit, seconds: int) -> Unit:
    python, module, *arguments = unit.argv
    return replace(unit, argv=[python, module, "tests.support.skewed_process", str(seconds), *arguments])


@asynccontextmanager
async def wrong_clock(stack: Stack, seconds: int, *names: str) -> AsyncIterator[None]:
    """These processes live by a clock that is wrong; afterwards it is corrected."""
    keepers = [stack.keepers[name] for name in names]
    right = [keeper.unit for keeper in keepers]
    try:
        for keeper, unit in zip(keepers, right, strict=True):
            keeper.unit = with_clock(unit, seconds)
        await asyncio.gather(*map(stack.restart, names))
        yield
    finally:
        for keeper, unit in zip(keepers, right, strict=True):
            keeper.unit = unit
        await asyncio.gather(*map(stack.restart, names))


SERVICES = ("auth-api", "call-api", "project-api")
WORKERS = ("call-worker", "project-webhooks")


@pytest.mark.parametrize(
    ("seconds", "names"), [(-WRONG_SECONDS, (*SERVICES, *WORKERS)), (WRONG_SECONDS, WORKERS)], ids=["behind", "ahead"]
)
async def test_workers_and_services(
    stack: Stack, session: aiohttp.ClientSession, seconds: int, names: tuple[str, ...]
) -> None:
    """Who logs in gets a token that is good; a worker keeps its calls; only webhooks seem too old or too new."""
    async with Receiver().running() as receiver, Witness.watching(stack) as witness:
        async with wrong_clock(stack, seconds, *names):
            customer = await new_customer(stack, session, silenceTimeoutSeconds=5)
            await customer.add_webhook(receiver)
            for number in (BUSY, SILENT):
                witness.accepted(await customer.call(number))
            await witness.all_complete(60)
            await eventually(lambda: receiver.forged > 0)
        assert receiver.verified == []
        projects = await asyncpg.connect(stack.dsns["projects"])
        await projects.execute("UPDATE projects.webhook_deliveries SET next_at = now() WHERE status = 'pending'")
        await projects.close()
        await witness.all_delivered(receiver, 30)
    assert witness.violations(receiver) == []
    for event in witness.events:
        assert abs(event.time - datetime.now(UTC)) < timedelta(seconds=120), event.type


async def test_services_whose_clocks_are_ahead(stack: Stack, session: aiohttp.ClientSession) -> None:
    """They find every internal token too old, and that is not told as the customer's fault; a live call goes on."""
    customer = await new_customer(stack, session, silenceTimeoutSeconds=60)
    async with Witness.watching(stack) as witness:
        call_id = witness.accepted(await customer.call(SILENT))
        await customer.follow(call_id, "call.answered")
        async with wrong_clock(stack, WRONG_SECONDS, *SERVICES):
            for method, path in [("GET", f"/call/{call_id}"), ("GET", "/project"), ("POST", "/auth/login")]:
                status, answer = await customer.api.try_ask(method, path)
                assert (status, answer["code"]) == (502, "internal_token_refused"), path
                assert "clock" in answer["message"]
            await asyncio.sleep(3)  # thrice as long as the sweeper of the API takes to look for expired leases
            assert "call.ended" not in witness.types_of(call_id)
        await customer.api.ask("POST", f"/call/{call_id}/end")
        witness.accepted(await customer.call(BUSY))
        await witness.all_complete(30)
    assert witness.violations() == []
    reasons = {event.data.get("reason") for event in witness.events if event.type == "call.ended"}
    assert reasons == {"caller_api_ended", "callee_busy"}


async def test_a_gateway_whose_clock_is_ahead(stack: Stack, session: aiohttp.ClientSession) -> None:
    before = await new_customer(stack, session)
    async with wrong_clock(stack, WRONG_SECONDS, "gateway"), Witness.watching(stack) as witness:
        after = await new_customer(stack, session)
        for customer in (before, after):
            witness.accepted(await customer.call(BUSY))
        await witness.all_complete(30)
    assert witness.violations() == []


async def test_a_gateway_whose_clock_is_behind_is_not_ready(stack: Stack, session: aiohttp.ClientSession) -> None:
    """Every service finds its tokens too old. A balancer leaves it out; whoever comes all the same hears why."""
    keeper = stack.keepers["gateway"]
    right = keeper.unit
    keeper.unit = replace(with_clock(right, -WRONG_SECONDS), start_limit=timedelta(seconds=8))
    try:
        with pytest.raises(StartError, match="was not ready"):
            await stack.restart("gateway")
        body = {"email": "somebody@example.com", "password": "any password at all"}
        status, answer = await Api(session, stack.url()).try_ask("POST", "/auth/login", body)
        assert (status, answer["code"]) == (502, "internal_token_refused")
    finally:
        keeper.unit = right
        await stack.restart("gateway")
