"""Calls that came in are listed beside those that were made, and can be asked for."""

from datetime import timedelta
from typing import Any

import pytest

from call_service.inbound import repository
from call_service.projects import CalledNumber
from shared.db import Database
from shared.ids import new_id
from tests.support.calls import Customer, FakeProjects, agent
from tests.support.workers import queue

NUMBER, CALLER = "+12025559999", "+12025550111"


async def call_in(db: Database, projects: FakeProjects) -> str:
    called = CalledNumber(projects.tenant, projects.project_id, agent())
    async with db.transaction() as tx:
        call = await repository.insert(
            tx, new_id(), called, from_number=CALLER, to_number=NUMBER, owner="w", lease=timedelta(seconds=30)
        )
    return call.id


@pytest.mark.parametrize(
    ("method", "path", "key"), [("GET", "/call", "data"), ("POST", "/call/get-call-history", "calls")]
)
async def test_by_direction(
    customer: Customer, projects: FakeProjects, db: Database, method: str, path: str, key: str
) -> None:
    made = await queue(db, tenant=projects.tenant, project_id=projects.project_id)
    came = await call_in(db, projects)

    async def listed(**query: str) -> list[dict[str, Any]]:
        status, answer = await customer.ask(method, path, params={"projectId": projects.project_id, **query})
        assert status == 200, answer
        return list(answer[key])

    assert [call["call_id"] for call in await listed()] == [came, made]
    assert [call["call_id"] for call in await listed(direction="outbound")] == [made]
    [call] = await listed(direction="inbound")
    assert (call["call_id"], call["direction"]) == (came, "inbound")
    assert (call["from"], call["to"], call["phoneNumber"]) == (CALLER, NUMBER, CALLER)
    assert (call["status"], call["agentVersion"]) == ("ringing", 3)


async def test_other_directions_are_refused(customer: Customer, projects: FakeProjects) -> None:
    status, answer = await customer.ask("GET", "/call?direction=sideways")
    assert status == 422
    assert answer["errors"][0]["field"] == "direction"
