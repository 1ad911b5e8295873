"""Where RabbitMQ can't be had, everything runs in one process, and a call is still a call."""

from pathlib import Path

import aiohttp
import pytest

from deploy.demo.receiver import Receiver
from deploy.local import stack as local_stack
from deploy.local.stack import Stack
from tests.support.customers import new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]


async def test_a_call_without_rabbitmq(
    tmp_path: Path, session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMQP_URL", raising=False)
    monkeypatch.setattr(local_stack, "rabbitmq_units", lambda *_: None)
    said: list[str] = []
    async with await Stack.start(tmp_path, report=said.append) as stack, Receiver().running() as receiver:
        assert any("no RabbitMQ can be had" in line for line in said)
        customer = await new_customer(stack, session)
        await customer.add_webhook(receiver)
        call_id = await customer.call("+12025550107")
        call = (await customer.follow(call_id))["data"]
        assert (call["status"], call["reason"]) == ("completed", "callee_hung_up")
        assert await receiver.wait_for("call.completed", call_id, 15)
        stack.at_once.set()
