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


async def held(db: Database, call_id: str, carrier: str, times: list[dict[str, Any]]) -> None:
    await db.execute("UPDATE calls SET carrier = $2 WHERE id = $1", call_id, carrier)
    for position, timings in enumerate(times):
        await db.execute(
            """INSERT INTO call_turns (call_id, position, role, text, start_ms, end_ms, interrupted, timings)
               VALUES ($1, $2, 'agent', '', 0, 0, false, $3)""",
            call_id,
            position,
            timings,
        )


async def test_percentiles_are_those_of_an_agent_or_a_carrier(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    first_agent = projects.agent["id"]
    one, other = await made(customer, projects), await made(customer, projects)
    projects.agent["id"] = second_agent = "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f"
    third, _never_answered = await made(customer, projects), await made(customer, projects)
    await held(db, one, "sip", [{"voice_to_voice_ms": ms, "characters": 9} for ms in range(1, 51)])
    await held(db, other, "simulated", [{"voice_to_voice_ms": ms, "usage": {"x_ms": 1}} for ms in range(51, 102)])
    await held(db, third, "sip", [{"brain_ms": 7}, {}])
    status, answer = await customer.ask("GET", "/usage/latency")
    assert status == 200
    assert [(row["agentId"], row["calls"], row["steps"]) for row in answer["data"]] == [
        (first_agent, 2, {"voice_to_voice_ms": {"count": 101, "p50": 51.0, "p95": 96.0, "p99": 100.0}}),
        (second_agent, 1, {"brain_ms": {"count": 1, "p50": 7.0, "p95": 7.0, "p99": 7.0}}),
    ]
    _, answer = await customer.ask("GET", f"/usage/latency?groupBy=carrier&projectId={projects.project_id}")
    assert [(row["carrier"], row["agentId"], row["calls"]) for row in answer["data"]] == [
        ("sip", None, 2),
        ("simulated", None, 1),
    ]
    assert set(answer["data"][0]["steps"]) == {"voice_to_voice_ms", "brain_ms"}
    assert (await customer.ask("GET", "/usage/latency?from=2020-01-01&to=2020-02-01"))[1]["data"] == []
    assert (await stranger.ask("GET", "/usage/latency"))[1]["data"] == []
    status, answer = await customer.ask("GET", "/usage/latency?groupBy=weather")
    assert (status, answer["errors"][0]["field"]) == (422, "groupBy")


async def test_costs_are_summed_by_what_was_used(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    lines = [
        {"kind": "stt", "provider": "deepgram", "model": "nova-3", "unit": "seconds", "amount": 30.5, "cost": 0.004},
        {"kind": "carrier", "provider": "sip", "model": "", "unit": "seconds", "amount": 31, "cost": 0.025833},
    ]
    for _ in range(2):
        await db.execute("UPDATE calls SET costs = $2 WHERE id = $1", await made(customer, projects), lines)
    _, usage = await customer.ask("GET", "/usage")
    assert [(row["provider"], row["unit"], row["amount"], row["cost"], row["currency"]) for row in usage["costs"]] == [
        ("sip", "seconds", 62, 0.051666, "USD"),
        ("deepgram", "seconds", 61, 0.008, "USD"),
    ]
    assert (await stranger.ask("GET", "/usage"))[1]["costs"] == []


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
