"""Simulated callers test an agent of a whole stack, and only then may it be called with."""

from typing import Any

import aiohttp
import pytest

from deploy.local.stack import Stack
from shared.testing.waiting import eventually
from tests.support.customers import Customer, new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(180)]

ASKS = {
    "name": "asks when they are open",
    "direction": "inbound",
    "callee": {
        "description": "Asks one question, and breaks in on the answer.",
        "turns": [
            {"wait_for": "", "say": "Hello, when are you open, please?"},
            {"wait_for": "", "say": "Thank you, goodbye.", "silence_ms": 4000, "hang_up": True},
        ],
    },
    "expect": {"says": ["nine to five"], "hears": ["when are you open"], "status": "completed"},
}
IMPOSSIBLE = {**ASKS, "name": "wants the impossible", "expect": {"says": ["we are open at midnight"]}}


async def played(customer: Customer, *scenarios: dict[str, Any]) -> dict[str, Any]:
    body = {"projectId": customer.project_id, "scenarios": scenarios}
    test = await customer.api.ask("POST", f"/agent/{customer.agent_id}/test", body)
    found: dict[str, Any] = {}

    async def is_finished() -> bool:
        found.update(await customer.api.ask("GET", f"/agent/{customer.agent_id}/test/{test['id']}"))
        return found["finished_at"] is not None

    await eventually(is_finished, 90)
    return found


async def test_an_agent_is_called_with_once_it_has_passed(stack: Stack, session: aiohttp.ClientSession) -> None:
    customer = await new_customer(stack, session)
    call = {"number": "+12025550101", "projectId": customer.project_id, "agentId": customer.agent_id}
    change = {**call, "requiredTests": [ASKS["name"]], "systemInstruction": "We are open from nine to five."}
    del change["number"]
    await customer.api.ask("PUT", "/agent", change)
    assert (await customer.api.try_ask("POST", "/call/makeCall", call))[0] == 200, "the version before has no tests"

    test = await played(customer, ASKS, IMPOSSIBLE)
    assert (test["status"], test["agentVersion"]) == ("failed", 2)
    assert [one["status"] for one in test["scenarios"]] == ["passed", "failed"], test

    async def is_tested() -> bool:
        made = await customer.api.ask("POST", "/call/makeCall", call)
        shown = await customer.api.ask("GET", f"/call/{made['call']['call_id']}")
        return bool(shown["agentVersion"] == 2)

    await eventually(is_tested)
