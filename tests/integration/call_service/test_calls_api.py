"""The endpoints about calls, against a real database."""

import asyncio
import struct
import wave
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient

from call_service.calls import repository
from call_service.calls.domain import CallTurn, Outcome, Status
from call_service.calls.routes import RECORDINGS
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.dialer.journal import Journal
from call_service.recordings import RecordingStore
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.support.calls import Customer, FakeProjects, claim

CALLEE = "+12025550100"
PUBLIC = "http://127.0.0.1:8080"
LEASE = timedelta(seconds=30)
PRICE = Decimal("0.06")


async def make_call(customer: Customer, projects: FakeProjects, **body: Any) -> str:
    status, answer = await customer.ask(
        "POST", "/call/makeCall", {"number": CALLEE, "projectId": projects.project_id, **body}
    )
    assert status == 200, answer
    return str(answer["call"]["call_id"])


async def play_through(db: Database, call_id: str, recordings: Path | None = None, *, answered: bool = True) -> None:
    """What a worker writes about a call, from the claim to its completion."""
    [call] = await claim(db, "worker", LEASE, 10)
    assert call.id == call_id
    journal = Journal(db, call, PUBLIC)
    running = asyncio.create_task(journal.run())
    await journal.intend("simulated", LEASE)
    journal.advance(Status.RINGING)
    outcome = Outcome(Status.BUSY, "callee_busy", "callee", 486)
    if answered:
        journal.advance(Status.IN_PROGRESS)
        journal.turn(CallTurn("agent", "Hello, may I have your name?", 100, 1500, interrupted=False), {})
        journal.turn(CallTurn("user", "Yes, I am Anna Miller.", 2000, 3500, interrupted=False), {"recognition_ms": 70})
        outcome = Outcome(Status.COMPLETED, "callee_hung_up")
    assert await journal.end(outcome, {"name": "Anna Miller"} if answered else {}, PRICE, "EUR")
    store = RecordingStore(recordings or Path("no recordings"))
    await WrapUp(db, Analyzer(None), store, PUBLIC).complete(journal.call)
    running.cancel()


async def test_a_call_is_queued_with_its_event(customer: Customer, projects: FakeProjects, bus: InMemoryBus) -> None:
    seen: list[Any] = []

    async def note(event: Any) -> None:
        seen.append(event)

    await bus.subscribe("q", ["call.*"], note)
    status, answer = await customer.ask(
        "POST", "/call/makeCall", {"number": CALLEE, "projectId": projects.project_id, "agentId": projects.agent["id"]}
    )
    assert status == 200
    assert answer["message"] == "call made successfully."
    assert answer["call"] == {
        "call_id": answer["call"]["call_id"],
        "to": CALLEE,
        "from": "+12025550199",
        "status": "queued",
    }
    await eventually(lambda: len(seen) == 1)
    event = seen[0]
    assert (event.type, event.sequence, event.subject) == ("call.queued", 1, answer["call"]["call_id"])
    assert (event.tenant, event.project_id) == (projects.tenant, projects.project_id)
    assert event.data["callSid"] == answer["call"]["call_id"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "number"),
        ({"number": "2025550100"}, "number"),
        ({"number": "+1 (202) 555"}, "number"),
        ({"number": "+999999999999"}, "number"),
        ({"number": "tel:+12025550100"}, "number"),
        ({"number": 12025550100}, "number"),
        ({"number": CALLEE, "projectId": None}, "projectId"),
        ({"number": CALLEE, "projectId": "p", "dynamicVariables": []}, "dynamicVariables"),
        ({"number": CALLEE, "projectId": "p", "dynamicVariables": {"a": {}}}, "dynamicVariables.a"),
    ],
)
async def test_a_malformed_request_names_its_field(customer: Customer, body: Any, field: str) -> None:
    status, answer = await customer.ask("POST", "/call/makeCall", body)
    assert status == 400
    assert answer["code"] == "invalid_request"
    assert field in {error["field"] for error in answer["errors"]}


async def test_a_number_on_the_do_not_call_list_is_refused_at_once(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    await stranger.ask("PUT", f"/do-not-call/{CALLEE}")
    await make_call(customer, projects)
    await customer.ask("PUT", f"/do-not-call/{CALLEE}")
    body = {"number": CALLEE, "projectId": projects.project_id}
    status, answer = await customer.ask("POST", "/call/makeCall", body)
    assert (status, answer["code"]) == (409, "do_not_call")
    assert await db.fetchval("SELECT count(*) FROM calls") == 1
    async with customer.open("DELETE", f"/do-not-call/{CALLEE}"):
        await make_call(customer, projects)


@pytest.mark.parametrize(
    ("prepare", "body", "status", "code"),
    [
        ({}, {"projectId": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"}, 404, "project_not_found"),
        ({}, {"agentId": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"}, 404, "agent_not_found"),
        ({"has_active_agent": False}, {}, 404, "active_agent_not_set"),
        ({"from_number": None}, {}, 409, "no_phone_number"),
        ({"is_down": True}, {}, 503, "project_service_unavailable"),
    ],
)
async def test_what_is_missing_is_said(
    customer: Customer, projects: FakeProjects, prepare: Any, body: Any, status: int, code: str
) -> None:
    for name, value in prepare.items():
        setattr(projects, name, value)
    got, answer = await customer.ask(
        "POST", "/call/makeCall", {"number": CALLEE, "projectId": projects.project_id, **body}
    )
    assert (got, answer["code"]) == (status, code)


async def test_an_unfilled_variable_is_refused_and_nothing_is_queued(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    projects.agent["systemInstruction"] = "Remind {{name}} of {{what}}."
    body = {"number": CALLEE, "projectId": projects.project_id, "dynamicVariables": {"name": "Anna"}}
    status, answer = await customer.ask("POST", "/call/makeCall", body)
    assert (status, answer["code"]) == (400, "variable_missing")
    assert answer["errors"][0]["field"] == "dynamicVariables.what"
    assert await db.fetchval("SELECT count(*) FROM calls") == 0
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_the_call_keeps_the_agent_it_was_made_with(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    projects.agent["systemInstruction"] = "Remind {{name}}."
    call_id = await make_call(customer, projects, dynamicVariables={"name": "Anna", "age": 7})
    stored = await db.fetchrow("SELECT agent, agent_version, dynamic_variables FROM calls WHERE id = $1", call_id)
    assert stored is not None
    assert stored["agent"]["systemInstruction"] == "Remind Anna."
    assert stored["agent_version"] == 3
    assert stored["dynamic_variables"] == {"name": "Anna", "age": "7"}


@pytest.mark.parametrize("name", ["sid", "callSid", "call_id"])
async def test_a_call_is_read_under_each_spelling_of_its_id(
    customer: Customer, projects: FakeProjects, name: str
) -> None:
    call_id = await make_call(customer, projects)
    status, call = await customer.ask("POST", "/call", {name: call_id, "projectId": projects.project_id})
    assert status == 200
    assert call["call_id"] == call["callSid"] == call_id
    assert (call["status"], call["direction"], call["phoneNumber"]) == ("queued", "outbound", CALLEE)
    assert (call["transcript"], call["recordingUrls"], call["seconds"]) == ([], [], 0)
    assert call["date"].endswith("+0000")


async def test_another_users_call_does_not_exist(
    customer: Customer, stranger: Customer, projects: FakeProjects
) -> None:
    call_id = await make_call(customer, projects)
    for method, path, body in [
        ("POST", "/call", {"sid": call_id, "projectId": projects.project_id}),
        ("POST", "/call/analysis", {"sid": call_id, "questions": []}),
        ("GET", f"/call/{call_id}", None),
        ("GET", f"/call/{call_id}/transcript", None),
        ("GET", f"/call/{call_id}/recording", None),
        ("GET", f"/call/{call_id}/events", None),
        ("POST", f"/call/get-call-history?projectId={projects.project_id}", None),
    ]:
        status, answer = await stranger.ask(method, path, body)
        assert (status, answer["status"]) == (404, "error"), path


@pytest.mark.parametrize("call_id", ["x", "0", "019a0000-0000-7000-8000-000000000000", "%00", "' OR 1=1"])
async def test_an_unknown_id_is_not_found(customer: Customer, projects: FakeProjects, call_id: str) -> None:
    for path in (f"/call/{call_id}", f"/call/{call_id}/recording"):
        status, answer = await customer.ask("GET", path)
        assert (status, answer["code"]) == (404, "call_not_found")
    status, _ = await customer.ask("POST", "/call", {"sid": call_id, "projectId": projects.project_id})
    assert status == 404


async def test_the_life_of_an_answered_call(
    customer: Customer, projects: FakeProjects, db: Database, client: "TestClient[web.Request, web.Application]"
) -> None:
    call_id = await make_call(customer, projects)
    status, answer = await customer.ask("POST", "/call/analysis", {"sid": call_id, "questions": []})
    assert (status, answer["code"]) == (409, "call_not_ended")
    folder = client.app[RECORDINGS].path_for(call_id)
    write_wav(folder)
    await play_through(db, call_id, folder.parent)

    status, call = await customer.ask("GET", f"/call/{call_id}")
    assert (call["status"], call["reason"], call["fault"]) == ("completed", "callee_hung_up", "none")
    assert [turn["role"] for turn in call["transcript"]] == ["agent", "user"]
    assert call["data"] == {"name": "Anna Miller"}
    assert call["currency"] == "EUR"
    assert call["cost"] > 0
    assert call["recordingUrls"] == [f"{PUBLIC}/call/{call_id}/recording"]
    assert call["analysis"]["summary"]

    status, answer = await customer.ask(
        "POST",
        "/call/analysis",
        {"sid": call_id, "questions": [{"question": "What is the caller's name?", "type": "Text"}]},
    )
    assert status == 200
    assert answer["analysis"]["answers"][0]["answer"] == "Anna Miller"
    status, answer = await customer.ask("GET", f"/call/{call_id}/transcript")
    assert answer["transcript"] == call["transcript"]


async def test_a_recording_is_served_in_ranges(
    customer: Customer, projects: FakeProjects, db: Database, client: "TestClient[web.Request, web.Application]"
) -> None:
    call_id = await make_call(customer, projects)
    status, answer = await customer.ask("GET", f"/call/{call_id}/recording")
    assert (status, answer["code"]) == (404, "recording_not_found")
    path = client.app[RECORDINGS].path_for(call_id)
    write_wav(path)
    await play_through(db, call_id, path.parent)
    async with customer.open("GET", f"/call/{call_id}/recording", headers={"Range": "bytes=0-3"}) as response:
        assert (response.status, response.content_type, await response.read()) == (206, "audio/wav", b"RIFF")


async def test_a_call_that_nobody_answered_can_not_be_analysed(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    call_id = await make_call(customer, projects)
    await play_through(db, call_id, answered=False)
    status, answer = await customer.ask("POST", "/call/analysis", {"sid": call_id, "questions": []})
    assert (status, answer["code"]) == (409, "call_not_answered")
    _, call = await customer.ask("GET", f"/call/{call_id}")
    assert (call["status"], call["sip_code"], call["cost"], call["analysis"]) == ("busy", 486, 0, None)


async def test_events_stream_live_in_order_and_resume(customer: Customer, projects: FakeProjects, db: Database) -> None:
    call_id = await make_call(customer, projects)
    async with asyncio.timeout(20), customer.open("GET", f"/call/{call_id}/events") as response:
        assert response.content_type == "text/event-stream"
        playing = asyncio.create_task(play_through(db, call_id))
        streamed = [orjson.loads(line[6:]) async for line in response.content if line.startswith(b"data: ")]
        await playing
    assert [event["type"] for event in streamed] == [
        "call.queued",
        "call.initiated",
        "call.ringing",
        "call.answered",
        "call.turn",
        "call.turn",
        "call.ended",
        "call.transcript.ready",
        "call.analyzed",
        "call.completed",
    ]
    assert [event["sequence"] for event in streamed] == list(range(1, 11))
    assert streamed[5]["data"]["timings"] == {"recognition_ms": 70}
    async with customer.open("GET", f"/call/{call_id}/events", headers={"Last-Event-ID": "8"}) as response:
        text = (await response.read()).decode()
    assert [line for line in text.splitlines() if line.startswith("id:")] == ["id: 9", "id: 10"]


@pytest.mark.parametrize("last", ["10", "999"])
async def test_the_stream_of_a_call_that_is_over_does_not_wait_for_more(
    customer: Customer, projects: FakeProjects, db: Database, last: str
) -> None:
    call_id = await make_call(customer, projects)
    await play_through(db, call_id)
    path = f"/call/{call_id}/events"
    async with asyncio.timeout(10), customer.open("GET", path, headers={"Last-Event-ID": last}) as response:
        assert (response.status, await response.read()) == (204, b"")
    await db.execute("DELETE FROM outbox WHERE subject = $1", call_id)  # as it is pruned after a week
    async with asyncio.timeout(10), customer.open("GET", path) as response:
        assert (response.status, (await response.json())["code"]) == (410, "events_expired")


async def test_history_pages_and_filters(customer: Customer, projects: FakeProjects, db: Database) -> None:
    made = [await make_call(customer, projects, number=f"+1202555010{index}") for index in range(5)]
    path = f"/call/get-call-history?projectId={projects.project_id}"
    seen: list[str] = []
    cursor = ""
    while True:
        status, page = await customer.ask("POST", f"{path}&pageSize=2{cursor}")
        assert status == 200
        seen += [call["call_id"] for call in page["calls"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == list(reversed(made))
    for query, count in [
        ("&to=%2B12025550101", 1),
        ("&from=%2B12025550199", 5),
        ("&status=queued", 5),
        ("&status=busy&status=queued", 5),
        ("&status=busy", 0),
        ("&startTimeAfter=2020-01-01", 5),
        ("&startTimeBefore=2020-01-01", 0),
        ("&endTimeAfter=2020-01-01", 0),
    ]:
        _, page = await customer.ask("POST", path + query)
        assert len(page["calls"]) == count, query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("", "projectId"),
        ("projectId=x&pageSize=0", "pageSize"),
        ("projectId=x&pageSize=ten", "pageSize"),
        ("projectId=x&status=ringing&status=dead", "status.1"),
        ("projectId=x&startTime=yesterday", "startTime"),
        ("projectId=x&startTime=9999-12-31", "startTime"),
        ("projectId=x&to=123", "to"),
    ],
)
async def test_a_wrong_filter_is_named(customer: Customer, query: str, field: str) -> None:
    status, answer = await customer.ask("POST", f"/call/get-call-history?{query}")
    assert (status, [error["field"] for error in answer["errors"]]) == (400, [field])


async def test_a_cursor_of_ones_own_making_is_refused(customer: Customer, projects: FakeProjects) -> None:
    path = f"/call/get-call-history?projectId={projects.project_id}&cursor=abcdef"
    status, answer = await customer.ask("POST", path)
    assert (status, answer["code"]) == (400, "invalid_cursor")


async def test_a_selector_without_options_is_refused(customer: Customer, projects: FakeProjects) -> None:
    call_id = await make_call(customer, projects)
    body = {"sid": call_id, "questions": [{"question": "Which?", "type": "Selector"}]}
    status, answer = await customer.ask("POST", "/call/analysis", body)
    assert status == 400
    assert answer["errors"][0]["field"].startswith("questions.0")


async def test_without_an_internal_token_nothing_is_answered(
    client: "TestClient[web.Request, web.Application]",
) -> None:
    for method, path in [("POST", "/call/makeCall"), ("GET", f"/call/{new_id()}"), ("POST", "/call")]:
        async with client.request(method, path) as response:
            assert response.status == 401


async def test_a_terminal_call_stays_as_it_ended(customer: Customer, projects: FakeProjects, db: Database) -> None:
    call_id = await make_call(customer, projects)
    await play_through(db, call_id)
    fence = await db.fetchval("SELECT fence FROM calls WHERE id = $1", call_id)
    async with db.transaction() as tx:
        for status in Status:
            if status is Status.QUEUED:
                continue
            if status in {Status.INITIATED, Status.RINGING, Status.IN_PROGRESS}:
                assert await repository.advance(tx, call_id, fence, status) is None
            else:
                assert await repository.end(tx, call_id, fence, Outcome(status, "x"), {}) is None
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'call.ended'") == 1


def write_wav(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(struct.pack("<2h", 1, -1) * 800)


async def test_a_call_that_lacks_a_vendors_key_is_refused_at_once(customer: Customer, projects: FakeProjects) -> None:
    projects.missing_keys = "The project has no key for deepgram, which the agent needs."
    body = {"number": "+12025550100", "projectId": projects.project_id, "agentId": projects.agent["id"]}
    status, answer = await customer.ask("POST", "/call/makeCall", body)
    assert (status, answer["code"], answer["message"]) == (409, "provider_key_missing", projects.missing_keys)
