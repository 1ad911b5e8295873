"""Reading batches: pages, counts, the result file; and that they are one tenant's own."""

import csv
import io
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from call_service.app import ROUTERS
from shared.db import Database
from shared.ids import new_id
from shared.openapi import describe
from tests.support.batches import ALWAYS, BUSY, csv_of, dialer, play, upload
from tests.support.calls import Customer, FakeProjects


async def pages(customer: Customer, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        status, page = await customer.ask("GET", f"{path}?limit=2{cursor}")
        assert status == 200
        assert len(page["data"]) <= 2
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_batches_are_listed_newest_first(customer: Customer, projects: FakeProjects) -> None:
    made = [(await upload(customer, projects, csv_of(1, first=index)))["id"] for index in range(5)]
    assert [batch["id"] for batch in await pages(customer, "/batch")] == made[::-1]


async def test_contacts_are_listed_in_the_order_of_the_file(customer: Customer, projects: FakeProjects) -> None:
    batch = await upload(customer, projects, b"number\n+12025550100\n\nx\n+12025550101\n")
    listed = await pages(customer, f"/batch/{batch['id']}/calls")
    assert [(contact["row"], contact["state"]) for contact in listed] == [
        (2, "pending"),
        (4, "rejected"),
        (5, "pending"),
    ]


async def test_a_batch_shows_the_rules_it_was_given(customer: Customer, projects: FakeProjects) -> None:
    rules = {
        "window": ALWAYS,
        "retry": {"on": ["busy", "voicemail"], "max": 3, "delayMinutes": 15},
        "maxConcurrency": "7",
        "callsPerSecond": "0.5",
        "attemptsPerDay": "2",
        "budget": "12.50",
    }
    batch = await upload(customer, projects, csv_of(1), "leads.csv", **rules)
    status, shown = await customer.ask("GET", f"/batch/{batch['id']}")
    assert status == 200
    assert (shown["window"], shown["retry"]) == (ALWAYS, rules["retry"])
    assert (shown["maxConcurrency"], shown["callsPerSecond"], shown["attemptsPerDay"]) == (7, 0.5, 2)
    assert (shown["budget"], shown["spent"], shown["fileName"]) == (12.5, 0, "leads.csv")
    assert (shown["agentId"], shown["agentVersion"]) == (projects.agent["id"], 3)


async def test_the_result_file_has_every_row_and_no_formula(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    content = b"number,name\n+12025550100,Anna\n=1+1,Eve\n\"+1-2+cmd|' /C calc'!A0\",Eve\n"
    batch = await upload(customer, projects, content)
    [claimed] = await dialer(db).claim(5)
    await play(db, claimed, BUSY)
    async with customer.open("GET", f"/batch/{batch['id']}/result.csv") as response:
        assert (response.status, response.content_type) == (200, "text/csv")
        rows = list(csv.DictReader(io.StringIO(await response.text())))
    assert [row["row"] for row in rows] == ["2", "3", "4"]
    assert rows[0]["number"] == "+12025550100"
    assert (rows[0]["state"], rows[0]["attempts"], rows[0]["call_id"]) == ("busy", "1", claimed.call.id)
    assert rows[0]["dynamicVariables"] == '{"name":"Anna"}'
    assert [row["number"][:2] for row in rows[1:]] == ["'=", "'+"]
    assert {row["state"] for row in rows[1:]} == {"rejected"}


async def test_a_long_result_is_streamed_whole(customer: Customer, projects: FakeProjects) -> None:
    batch = await upload(customer, projects, csv_of(2500))
    async with customer.open("GET", f"/batch/{batch['id']}/result.csv") as response:
        lines = (await response.text()).splitlines()
    assert len(lines) == 2501
    assert [line.split(",")[0] for line in lines[1:]] == [str(row) for row in range(2, 2502)]


async def test_another_users_batch_does_not_exist(
    customer: Customer, stranger: Customer, projects: FakeProjects
) -> None:
    batch = await upload(customer, projects, csv_of(2))
    for batch_id in (batch["id"], new_id(), "x", "%00"):
        for method, path in [
            ("GET", ""),
            ("GET", "/calls"),
            ("GET", "/result.csv"),
            ("POST", "/pause"),
            ("POST", "/resume"),
            ("POST", "/cancel"),
        ]:
            status, answer = await stranger.ask(method, f"/batch/{batch_id}{path}")
            assert (status, answer["code"]) == (404, "batch_not_found")
    assert await pages(stranger, "/batch") == []
    assert (await customer.ask("GET", f"/batch/{batch['id']}"))[1]["status"] == "running"


@pytest.mark.parametrize("path", ["/batch", "/batch/{id}/calls"])
@pytest.mark.parametrize(
    ("query", "status", "field"),
    [("limit=0", 422, "limit"), ("limit=x", 422, "limit"), ("page=2", 422, "page"), ("cursor=abc", 400, "cursor")],
)
async def test_a_wrong_page_is_named(
    customer: Customer, projects: FakeProjects, path: str, query: str, status: int, field: str
) -> None:
    batch = await upload(customer, projects, csv_of(1))
    got, answer = await customer.ask("GET", f"{path.format(id=batch['id'])}?{query}")
    assert (got, [error["field"] for error in answer["errors"]]) == (status, [field])


async def test_without_an_internal_token_nothing_is_answered(
    client: "TestClient[web.Request, web.Application]",
) -> None:
    endpoints = next(router for router in ROUTERS if router.tag == "Batches").endpoints
    assert len(endpoints) == 12
    for endpoint in endpoints:
        async with client.request(endpoint.method, endpoint.path.replace("{", "").replace("}", "")) as response:
            assert response.status == 401


def test_the_document_shows_the_form_with_its_file() -> None:
    document = describe([endpoint for router in ROUTERS for endpoint in router.endpoints], "call_service")
    operation = document["paths"]["/call/batch-call"]["post"]
    sent = operation["requestBody"]["content"]["multipart/form-data"]
    schema = document["components"]["schemas"][sent["schema"]["$ref"].rpartition("/")[2]]
    assert schema["required"] == ["projectId", "file"]
    assert schema["properties"]["file"]["type"] == "string"
    assert set(sent["example"]) <= set(schema["properties"])
    assert {"400", "401", "404", "409", "413", "415", "503"} <= set(operation["responses"])


async def test_a_batch_is_shown_whatever_today_s_rules_are(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    batch = await upload(customer, projects, csv_of(1))
    window, retry = {"days": [], "hours": "18:00-09:00"}, {"on": ["busy"], "max": 90, "delayMinutes": 0}
    await db.execute("UPDATE batches SET calling_window = $1, retry = $2", window, retry)
    status, shown = await customer.ask("GET", f"/batch/{batch['id']}")
    assert (status, shown["window"], shown["retry"]) == (200, window, retry)
    assert [one["id"] for one in await pages(customer, "/batch")] == [batch["id"]]
