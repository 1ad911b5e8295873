"""Usage by day and project, counted from the calls themselves."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.db import Database
from tests.support.calls import Customer, FakeProjects


async def made(customer: Customer, projects: FakeProjects) -> str:
    body = {"number": "+12025550100", "projectId": projects.project_id}
    status, answer = await customer.ask("POST", "/call/makeCall", body)
    assert status == 200
    return str(answer["call"]["call_id"])


async def test_minutes_and_cost_are_summed_by_day_and_project(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    answered, _, yesterday = [await made(customer, projects) for _ in range(3)]
    noon = datetime.now(UTC).replace(hour=0, minute=0, second=5)
    await db.execute(
        """UPDATE calls SET status = 'completed', created_at = $2, answered_at = $2, ended_at = $3, cost = 0.025
           WHERE id = $1""",
        answered,
        noon,
        noon + timedelta(seconds=89.2),
    )
    await db.execute("UPDATE calls SET created_at = $2 WHERE id = $1", yesterday, noon - timedelta(seconds=10))
    status, usage = await customer.ask("GET", "/usage")
    assert status == 200
    today, before = usage["data"]
    assert (today["calls"], today["answered"], today["minutes"], today["cost"]) == (2, 1, 1.5, 0.025)
    assert today["projectId"] == projects.project_id
    assert (before["calls"], before["answered"], before["minutes"]) == (1, 0, 0)
    assert before["day"] == str((noon - timedelta(days=1)).date())
    assert len((await customer.ask("GET", f"/usage?from={noon.date()}"))[1]["data"]) == 1
    assert len((await customer.ask("GET", f"/usage?projectId={projects.project_id}"))[1]["data"]) == 2
    assert (await stranger.ask("GET", "/usage"))[1]["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday",
        "from=2026-02-01&to=2026-01-01",
        "from=2020-01-01&to=2026-01-01",
        "to=0001-01-01",
        "to=9999-12-31",
        "projectId=x",
        "x=1",
    ],
)
async def test_a_wrong_span_is_refused(customer: Customer, query: str) -> None:
    status, answer = await customer.ask("GET", f"/usage?{query}")
    assert (status, answer["status"]) == (422, "error")
    assert answer["errors"]


async def test_a_first_day_in_the_future_is_an_empty_span(customer: Customer) -> None:
    answer: Any = await customer.ask("GET", "/usage?from=2999-01-01")
    assert (answer[0], answer[1]["data"]) == (200, [])
