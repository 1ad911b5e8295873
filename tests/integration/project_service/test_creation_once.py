"""What is asked for again under its Idempotency-Key is not created twice; keys of few scopes create nothing."""

import asyncio
from typing import Any

import pytest

from shared.db import Database

KEY = {"Idempotency-Key": "front desk, first of all"}


async def test_twenty_equal_requests_at_once_make_one_project(user: Any, db: Database) -> None:
    body = {"name": "Front desk", "description": ""}
    answers = await asyncio.gather(*(user("POST", "/project/create-project", body, **KEY) for _ in range(20)))
    assert {status for status, _ in answers} <= {200, 409}
    assert {answer["code"] for status, answer in answers if status == 409} <= {"idempotency_in_progress"}
    assert len({answer["data"]["id"] for status, answer in answers if status == 200}) == 1
    assert await db.fetchval("SELECT count(*) FROM projects") == 1
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'project.created'") == 1


async def test_a_duplicate_name_stays_refused_under_its_key(user: Any) -> None:
    project_id = await user.project()
    first = await user("POST", "/project/create-project", {"name": "Front desk", "description": ""}, **KEY)
    assert first[0] == 400
    await user("DELETE", f"/project/{project_id}", {})
    again = await user("POST", "/project/create-project", {"name": "Front desk", "description": ""}, **KEY)
    assert again == first


async def test_a_signing_secret_whose_answer_was_lost_can_be_asked_for_again(user: Any) -> None:
    body = {"projectId": await user.project(), "webhookURL": "http://127.0.0.1:9/hook"}
    first = await user("POST", "/project/call-status/add-webhookurl", body, **KEY)
    assert first[1]["signingSecret"].startswith("whsec_")
    assert await user("POST", "/project/call-status/add-webhookurl", body, **KEY) == first


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/project/create-project"), ("PUT", "/agent"), ("DELETE", "/project/x"), ("POST", "/webhook/test")],
)
async def test_an_api_key_that_may_only_read_changes_nothing(user: Any, method: str, path: str) -> None:
    reader = type(user)(user.client, user.id, "api_key", ("projects:read", "calls:write"))
    status, answer = await reader(method, path, {})
    assert (status, answer["code"]) == (403, "insufficient_scope")
    assert "projects:write" in answer["message"]
    assert (await reader("GET", "/project"))[0] == 200
