"""A program with a narrowed API key whose connection breaks: through the gateway, it can't do more or call twice."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from deploy.local.stack import Stack
from tests.support.customers import new_customer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

BUSY = "+12025550101"
KEY = {"Idempotency-Key": "appointment 4711, first try"}


async def test_a_repeated_call_is_made_once_and_a_reading_key_makes_none(
    stack: Stack, session: aiohttp.ClientSession
) -> None:
    customer = await new_customer(stack, session)

    async def key_with(*scopes: str) -> dict[str, str]:
        created = await customer.api.ask("POST", "/user/api-keys", {"name": "program", "scopes": list(scopes)})
        return {"x-api-key": created["key"]}

    async def call(headers: Mapping[str, str]) -> tuple[int, Any, bool]:
        body = {"number": BUSY, "projectId": customer.project_id, "agentId": customer.agent_id}
        async with session.post(f"{stack.url()}/call/makeCall", json=body, headers={**headers, **KEY}) as answer:
            return answer.status, await answer.json(), answer.headers.get("Idempotent-Replayed") == "true"

    status, answer, _ = await call(await key_with("calls:read", "projects:write"))
    assert (status, answer["code"]) == (403, "insufficient_scope")
    writer = await key_with("calls:write")
    answers = await asyncio.gather(*(call(writer) for _ in range(8)))
    assert {status for status, _, _ in answers} <= {200, 409}
    status, answer, is_replayed = await call(writer)
    assert (status, is_replayed) == (200, True)
    assert {body["call"]["call_id"] for status, body, _ in answers if status == 200} == {answer["call"]["call_id"]}
    path = f"/call/get-call-history?projectId={customer.project_id}"
    assert len((await customer.api.ask("POST", path))["calls"]) == 1
