"""A call that is asked for again under its Idempotency-Key is not made twice; keys of few scopes make none."""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient

from shared.clock import SystemClock
from shared.db import Database
from shared.tokens import HEADER, InternalTokens, Principal
from tests.support.calls import SECRET, Customer, FakeProjects

KEY = {"Idempotency-Key": "order 4711, appointment call"}


async def _make(customer: Customer, projects: FakeProjects) -> tuple[int, Any]:
    body = {"number": "+12025550100", "projectId": projects.project_id}
    return await customer.ask("POST", "/call/makeCall", body, headers=KEY)


async def test_twenty_equal_requests_at_once_make_one_call(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    answers = await asyncio.gather(*(_make(customer, projects) for _ in range(20)))
    assert {status for status, _ in answers} <= {200, 409}
    assert {body["code"] for status, body in answers if status == 409} <= {"idempotency_in_progress"}
    made = {body["call"]["call_id"] for status, body in answers if status == 200}
    assert len(made) == 1
    assert await db.fetchval("SELECT count(*) FROM calls") == 1
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'call.queued'") == 1


async def test_the_answer_is_replayed_even_when_the_project_service_is_away(
    customer: Customer, projects: FakeProjects
) -> None:
    projects.is_down = True
    assert (await _make(customer, projects))[0] == 503
    projects.is_down = False
    first = await _make(customer, projects)
    assert first[0] == 200
    projects.is_down = True
    assert await _make(customer, projects) == first


async def test_an_api_key_that_may_only_read_makes_no_call(
    client: "TestClient[web.Request, web.Application]", projects: FakeProjects
) -> None:
    signer = InternalTokens(SECRET, "gateway", SystemClock().now)
    reader = Principal(projects.tenant, "api_key", None, ("calls:read",))
    headers = {HEADER: signer.sign(reader), **KEY}
    async with client.post("/call/makeCall", json={}, headers=headers) as answer:
        body = await answer.json()
        assert (answer.status, body["code"]) == (403, "insufficient_scope")
        assert "calls:write" in body["message"]
    query = {"projectId": projects.project_id}
    async with client.post("/call/get-call-history", params=query, headers=headers) as answer:
        assert answer.status == 200
