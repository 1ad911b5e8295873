"""Batches on a real database: who is dialled, when, at most once, and that a stop is a stop."""

import asyncio
import itertools
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from call_service.batches.dialing_queries import due_batches
from call_service.batches.gate import refusal
from call_service.batches.settlement import settle
from call_service.calls import repository as calls
from call_service.calls.claiming import Claimed
from call_service.calls.domain import MAX_CLAIMS, Outcome, Status
from call_service.calls.sweeper import Sweeper
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.recordings import RecordingStore
from call_service.vendors.usage import Used
from shared.db import Database
from shared.events import Event
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.waiting import eventually
from tests.support.batches import (
    ALWAYS,
    ANSWERED,
    BROKEN,
    BUSY,
    LEASE,
    PUBLIC,
    csv_of,
    dialer,
    play,
    start,
    upload,
)
from tests.support.calls import Customer, FakeProjects, claim

REFUSED = "canceled"


async def batch_of(customer: Customer, batch_id: str) -> dict[str, Any]:
    status, answer = await customer.ask("GET", f"/batch/{batch_id}")
    assert status == 200
    return dict(answer)


async def contacts_of(customer: Customer, batch_id: str) -> list[dict[str, Any]]:
    status, answer = await customer.ask("GET", f"/batch/{batch_id}/calls?limit=100")
    assert status == 200
    return list(answer["data"])


async def act(customer: Customer, batch_id: str, verb: str, **body: Any) -> dict[str, Any]:
    status, answer = await customer.ask("POST", f"/batch/{batch_id}/{verb}", body or None)
    assert status == 200, answer
    return dict(answer)


async def forward(db: Database, batch_id: str) -> None:
    """Let the time come for which contacts and the batch wait."""
    await db.execute("UPDATE batch_contacts SET due_at = now() WHERE batch_id = $1", batch_id)
    await db.execute("UPDATE batches SET next_dial_at = 'epoch', blocked_until = 'epoch' WHERE id = $1", batch_id)


async def test_a_batch_is_called_to_its_end_and_says_so(
    customer: Customer, projects: FakeProjects, db: Database, bus: InMemoryBus
) -> None:
    seen: list[Any] = []

    async def note(event: Any) -> None:
        seen.append(event)

    await bus.subscribe("q", ["batch.*"], note)
    projects.agent["systemInstruction"] = "Remind {{name}}."
    batch = await upload(customer, projects, b"number,name\n+12025550100,Anna\n+12025550101,Bob\n+1,Carl\n")
    claimed = await dialer(db).claim(10)
    assert [(one.call.to_number, one.call.agent["systemInstruction"]) for one in claimed] == [
        ("+12025550100", "Remind Anna."),
        ("+12025550101", "Remind Bob."),
    ]
    assert (await batch_of(customer, batch["id"]))["counts"] == {"rejected": 1, "dialing": 2}
    await play(db, claimed[0])
    await play(db, claimed[1], BUSY)
    shown = await batch_of(customer, batch["id"])
    assert (shown["status"], shown["finished"], shown["active"]) == ("completed", 2, 0)
    assert shown["counts"] == {"rejected": 1, "completed": 1, "busy": 1}
    assert shown["started_at"] <= shown["completed_at"]
    await eventually(lambda: seen[-1:] != [] and seen[-1].type == "batch.completed")
    types = [event.type for event in seen]
    assert (types[0], types[-1], types.count("batch.completed")) == ("batch.started", "batch.completed", 1)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    first, second, _third = await contacts_of(customer, batch["id"])
    assert (first["state"], first["call_id"], second["state"]) == ("completed", claimed[0].call.id, "busy")
    assert [decision["decision"] for decision in first["decisions"]] == ["dial"]
    assert first["decisions"][0]["detail"]["call_id"] == claimed[0].call.id


async def test_claimed_calls_are_their_claimers_and_queued_for_nobody_else(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    await upload(customer, projects, csv_of(3))
    claimed = await dialer(db, "first").claim(2)
    assert len(claimed) == 2
    assert await claim(db, "second", LEASE, 10) == []
    held = {one.call.id: one.call.fence for one in claimed}
    assert await calls.renew(db, "first", LEASE, held) == set(held)
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'call.queued'") == 2


async def test_many_workers_never_dial_a_contact_twice(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    first = await upload(customer, projects, csv_of(60))
    second = await upload(customer, projects, csv_of(40, first=1000))

    async def work(index: int) -> list[Claimed]:
        mine: list[Claimed] = []
        while claimed := await dialer(db, f"worker {index}").claim(3):
            mine += claimed
            await asyncio.gather(*(play(db, one) for one in claimed))
        return mine

    done = [one for some in await asyncio.gather(*(work(index) for index in range(4))) for one in some]
    numbers = Counter(one.call.to_number for one in done)
    assert len(numbers) == 100
    assert set(numbers.values()) == {1}
    for batch in (first, second):
        assert (await batch_of(customer, batch["id"]))["status"] == "completed"
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'call.initiated'") == 100


async def test_concurrency_holds_over_all_workers(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(20), maxConcurrency="3")
    claims = await asyncio.gather(*(dialer(db, f"w{index}").claim(5) for index in range(4)))
    held = [one for some in claims for one in some]
    assert len(held) == 3
    await play(db, held[0])
    assert len(await dialer(db).claim(5)) == 1
    assert (await batch_of(customer, batch["id"]))["active"] == 3


async def test_calls_are_spread_inside_the_second(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(20), callsPerSecond="4")
    claimed = await dialer(db).claim(20)
    assert [round(one.delay_seconds, 2) for one in claimed] == [0, 0.25, 0.5, 0.75, 1.0, 1.25]
    await asyncio.sleep(0.6)
    assert len(await dialer(db, "another").claim(20)) >= 2
    decisions = [contact["decisions"] for contact in await contacts_of(customer, batch["id"])]
    moments = [datetime.fromisoformat(known[0]["detail"]["start_at"]) for known in decisions if known]
    gaps = {round((later - earlier).total_seconds(), 2) for earlier, later in itertools.pairwise(moments)}
    assert min(gaps) == 0.25


async def test_pause_is_exact(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(30))
    claimed = await dialer(db).claim(20)
    starting = [asyncio.create_task(start(db, one)) for one in claimed[:15]]
    await asyncio.sleep(0)
    assert (await act(customer, batch["id"], "pause"))["reason"] == "paused_by_api"
    at_pause = await db.fetchval("SELECT count(*) FROM calls WHERE status = 'initiated'")
    results = [*await asyncio.gather(*starting), *[await start(db, one) for one in claimed[15:]]]
    assert await db.fetchval("SELECT count(*) FROM calls WHERE status = 'initiated'") == at_pause
    refused = [(one, outcome) for one, (_journal, outcome) in zip(claimed, results, strict=True) if outcome]
    assert len(refused) == 20 - at_pause
    assert {outcome.reason for _one, outcome in refused} == {"batch_paused"}
    assert await dialer(db).claim(10) == []

    for one, _outcome in refused:
        assert (await play(db, one)).status == REFUSED
    shown = await batch_of(customer, batch["id"])
    assert shown["counts"].get("pending") == 30 - at_pause
    assert (await act(customer, batch["id"], "resume"))["status"] == "running"
    again = await dialer(db).claim(30)
    assert len(again) == 30 - at_pause
    waited = [contact for contact in await contacts_of(customer, batch["id"]) if len(contact["decisions"]) > 1]
    assert all(contact["attempts"] == 1 for contact in waited)


async def test_cancel_leaves_live_calls_and_starts_no_other(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    batch = await upload(customer, projects, csv_of(5))
    live, late = await dialer(db).claim(2)
    journal, _ = await start(db, live)
    assert (await act(customer, batch["id"], "cancel"))["status"] == "canceled"
    assert (await play(db, late)).reason == "canceled_by_api"
    assert (await batch_of(customer, batch["id"]))["completed_at"] is None
    assert await journal.end(BUSY, {}, Decimal(0), "USD")
    shown = await batch_of(customer, batch["id"])
    assert (shown["status"], shown["counts"]) == ("canceled", {"busy": 1, "canceled": 4})
    assert shown["completed_at"] is not None
    assert await dialer(db).claim(10) == []
    for verb in ("pause", "resume", "cancel"):
        status, answer = await customer.ask("POST", f"/batch/{batch['id']}/{verb}")
        assert (status, answer["code"]) == (409, "batch_finished")
    rows = (await contacts_of(customer, batch["id"]))[2:]
    assert {(row["state"], row["reason"]) for row in rows} == {("canceled", "canceled_by_api")}


async def test_a_number_on_the_list_is_not_dialled(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, b"number\n+12025550100\n+12025550101\n+12025550102\n")
    status, _ = await customer.ask("PUT", "/do-not-call/+12025550100")
    assert status == 200
    claimed = await dialer(db).claim(10)
    assert [one.call.to_number for one in claimed] == ["+12025550101", "+12025550102"]
    await customer.ask("PUT", "/do-not-call/%2B12025550101")
    assert (await play(db, claimed[0])).reason == "do_not_call"
    assert (await play(db, claimed[1])).status is Status.COMPLETED
    rows = await contacts_of(customer, batch["id"])
    assert [(row["state"], row["reason"]) for row in rows[:2]] == [("canceled", "do_not_call")] * 2
    assert [decision["decision"] for decision in rows[0]["decisions"]] == ["drop"]
    assert (await batch_of(customer, batch["id"]))["status"] == "completed"


async def test_many_numbers_on_the_list_hold_nobody_up(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    await upload(customer, projects, csv_of(80))
    for index in range(79):
        await db.execute("INSERT INTO do_not_call VALUES ($1, $2)", projects.tenant, f"+1202{5_550_000 + index}")
    [only] = await dialer(db).claim(5)
    assert only.call.batch_line == 81


async def test_the_list_wins_the_race_against_a_start(customer: Customer, projects: FakeProjects, db: Database) -> None:
    """However a PUT and the start of a call interleave: what starts after the answer sees the number."""
    await upload(customer, projects, csv_of(15))
    for one in await dialer(db).claim(15):
        starting = asyncio.create_task(start(db, one))
        status, _ = await customer.ask("PUT", f"/do-not-call/{one.call.to_number}")
        answered_at = await db.fetchval("SELECT clock_timestamp()")
        assert status == 200
        _journal, refused = await starting
        initiated_at = await db.fetchval("SELECT initiated_at FROM calls WHERE id = $1", one.call.id)
        assert (refused is None) is (initiated_at is not None)
        assert initiated_at is None or initiated_at < answered_at


async def test_the_list_waits_for_a_start_that_is_being_committed(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    await upload(customer, projects, csv_of(1))
    [one] = await dialer(db).claim(1)
    async with db.transaction() as tx:
        assert await refusal(tx, one.call) is None
        putting = asyncio.create_task(customer.ask("PUT", f"/do-not-call/{one.call.to_number}"))
        pausing = asyncio.create_task(customer.ask("POST", f"/batch/{one.call.batch_id}/pause"))
        done, _ = await asyncio.wait([putting, pausing], timeout=0.5)
        assert not done
    assert (await putting)[0] == (await pausing)[0] == 200


async def test_the_list_holds_for_single_calls_too(
    customer: Customer, stranger: Customer, projects: FakeProjects, db: Database
) -> None:
    number = "+12025550100"
    body = {"number": number, "projectId": projects.project_id}
    assert (await stranger.ask("PUT", f"/do-not-call/{number}"))[0] == 200
    await customer.ask("POST", "/call/makeCall", body)
    [call] = await claim(db, "w", LEASE, 1)
    assert (await start(db, Claimed(call, 0)))[1] is None
    await customer.ask("POST", "/call/makeCall", body)
    await customer.ask("PUT", f"/do-not-call/{number}")
    [call] = await claim(db, "w", LEASE, 1)
    ended = await play(db, Claimed(call, 0))
    assert (ended.status, ended.reason, ended.fault) == ("canceled", "do_not_call", "tenant")


async def test_the_list_of_numbers(customer: Customer, stranger: Customer) -> None:
    path = "/do-not-call/+12025550100"
    assert (await customer.ask("GET", path))[1]["code"] == "not_on_do_not_call_list"
    status, added = await customer.ask("PUT", path)
    assert (status, added["number"]) == (200, "+12025550100")
    assert await customer.ask("PUT", path) == (200, added)
    assert await customer.ask("GET", path) == (200, added)
    assert (await stranger.ask("GET", path))[0] == (await stranger.ask("DELETE", path))[0] == 404
    async with customer.open("DELETE", path) as response:
        assert response.status == 204
    assert (await customer.ask("DELETE", path))[0] == 404
    for wrong in ("2025550100", "+1", "x", "%00"):
        for method in ("GET", "PUT", "DELETE"):
            status, answer = await customer.ask(method, f"/do-not-call/{wrong}")
            assert (status, answer["errors"][0]["field"]) == (422, "number")


async def test_the_list_is_read_a_page_at_a_time(customer: Customer, stranger: Customer) -> None:
    numbers = [f"+120255501{index:02d}" for index in range(5)]
    for number in reversed(numbers):
        assert (await customer.ask("PUT", f"/do-not-call/{number}"))[0] == 200
    await stranger.ask("PUT", "/do-not-call/+12025550199")
    found: list[dict[str, Any]] = []
    cursor = ""
    for size in (2, 2, 1):
        status, page = await customer.ask("GET", f"/do-not-call?limit=2{cursor}")
        assert (status, len(page["data"])) == (200, size)
        found += page["data"]
        cursor = f"&cursor={page['next_cursor']}"
    assert page["next_cursor"] is None
    assert [entry["number"] for entry in found] == numbers
    assert found[0] == (await customer.ask("GET", f"/do-not-call/{numbers[0]}"))[1]
    status, answer = await customer.ask("GET", "/do-not-call?cursor=x")
    assert (status, answer["code"]) == (400, "invalid_cursor")
    status, answer = await customer.ask("GET", "/do-not-call?limit=0")
    assert (status, answer["errors"][0]["field"]) == (422, "limit")
    assert (await stranger.ask("GET", "/do-not-call"))[1]["data"][0]["number"] == "+12025550199"


async def test_retries_by_outcome_with_delay_and_limit(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    retry = {"on": ["busy"], "max": 1, "delayMinutes": 30}
    batch = await upload(customer, projects, csv_of(2), retry=retry)
    one, other = await dialer(db).claim(2)
    before = datetime.now(UTC)
    await play(db, one, BUSY)
    await play(db, other, Outcome(Status.NO_ANSWER, "no_answer", "callee"))
    assert await dialer(db).claim(2) == []
    first, second = await contacts_of(customer, batch["id"])
    assert (first["state"], first["attempts"], second["state"]) == ("pending", 1, "no-answer")
    wait = datetime.fromisoformat(first["due_at"]) - before
    assert timedelta(minutes=29) < wait < timedelta(minutes=31)
    await forward(db, batch["id"])
    [again] = await dialer(db).claim(2)
    assert again.call.to_number == one.call.to_number
    await play(db, again, BUSY)
    first, _ = await contacts_of(customer, batch["id"])
    assert (first["state"], first["attempts"]) == ("busy", 2)
    assert [decision["decision"] for decision in first["decisions"]] == ["dial", "wait", "dial"]
    assert (await batch_of(customer, batch["id"]))["status"] == "completed"


async def test_attempts_per_day_count_over_all_batches(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    await upload(customer, projects, csv_of(1))
    await play(db, (await dialer(db).claim(1))[0], BUSY)
    batch = await upload(customer, projects, csv_of(2), attemptsPerDay="1")
    [only] = await dialer(db).claim(5)
    assert only.call.to_number == "+12025550001"
    first, _ = await contacts_of(customer, batch["id"])
    assert (first["state"], first["reason"], first["attempts"]) == ("pending", "attempts_per_day", 0)
    due_in = datetime.fromisoformat(first["due_at"]) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=58) < due_in <= timedelta(days=1)


async def test_two_batches_at_once_keep_the_attempts_per_day(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    for _ in range(3):
        await upload(customer, projects, csv_of(5), attemptsPerDay="1")
    claims = await asyncio.gather(*(dialer(db, f"w{index}").claim(15) for index in range(3)))
    numbers = Counter(one.call.to_number for some in claims for one in some)
    assert numbers == Counter([f"+1202555000{index}" for index in range(5)])


async def test_the_budget_is_never_exceeded(customer: Customer, projects: FakeProjects, db: Database) -> None:
    projects.agent["maxCallSeconds"] = 30  # with the grace a minute at most: 0.60 for one call
    batch = await upload(customer, projects, csv_of(10), budget="1.30")
    claimed = await dialer(db, price="0.60").claim(10)
    assert len(claimed) == 2
    assert await dialer(db, price="0.60").claim(10) == []
    for one in claimed:
        await play(db, one, price="36")  # a started second: 0.60
    assert await dialer(db, price="0.60").claim(10) == []
    shown = await batch_of(customer, batch["id"])
    assert (shown["status"], shown["reason"], shown["spent"]) == ("paused", "budget_spent", 1.2)
    assert (await act(customer, batch["id"], "resume", budget="2"))["budget"] == 2
    assert len(await dialer(db, price="0.60").claim(10)) == 1


class Charging(Analyzer):
    """An analysis by a model that charges for it."""

    async def analyze(self, *_: Any) -> dict[str, Any]:
        used: Counter[Used] = _[-1]
        used[Used("llm", "openai", "gpt-4o", "tokens_in")] += 1_000_000
        return {}


async def test_an_analysis_is_charged_to_the_budget_too(
    customer: Customer, projects: FakeProjects, db: Database, tmp_path: Path
) -> None:
    """The batch never knew of it, and where the carrier is free no cost ended it."""
    batch = await upload(customer, projects, csv_of(3), budget="0.50")
    free = dialer(db)
    [one] = await free.claim(1)
    await play(db, one)
    ended = await calls.find(db, projects.tenant, one.call.id)
    assert ended is not None
    prices = {"openai": {"tokens_in": Decimal("0.75")}}
    wrap_up = WrapUp(db, Charging(None), RecordingStore(tmp_path), PUBLIC, prices)
    for _ in range(2):  # the second time it is complete already
        await wrap_up.complete(replace(ended, fence=one.call.fence))
    assert (await batch_of(customer, batch["id"]))["spent"] == 0.75
    assert await free.claim(5) == []
    shown = await batch_of(customer, batch["id"])
    assert (shown["status"], shown["reason"]) == ("paused", "budget_spent")


async def test_a_spent_budget_can_not_be_resumed(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(2), budget="1")
    await db.execute("UPDATE batches SET spent = 1 WHERE id = $1", batch["id"])
    status, answer = await customer.ask("POST", f"/batch/{batch['id']}/resume")
    assert (status, answer["code"]) == (409, "batch_budget_spent")
    status, answer = await customer.ask("POST", f"/batch/{batch['id']}/resume", {"budget": 0})
    assert (status, answer["errors"][0]["field"]) == (422, "budget")
    status, answer = await customer.ask("POST", f"/batch/{batch['id']}/resume", {"money": 5})
    assert (status, answer["errors"][0]["field"]) == (422, "money")


async def test_a_huge_batch_does_not_starve_another_tenant(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    huge = [await upload(customer, projects, csv_of(100, first=1000 * index)) for index in range(3)]
    held = await dialer(db).claim(20)
    assert Counter(one.call.batch_id for one in held).keys() == {batch["id"] for batch in huge}
    small = await upload(customer, projects, csv_of(5, first=9000))
    other = new_id()
    for table, column in (("batches", "id"), ("batch_contacts", "batch_id")):
        await db.execute(f"UPDATE {table} SET tenant = $1 WHERE {column} = $2", other, small["id"])
    for one in held[:4]:  # each place that becomes free goes to the tenant with the fewest live calls
        await play(db, one)
        [claimed] = await dialer(db).claim(1)
        assert claimed.call.batch_id == small["id"]


async def test_the_breaker_stops_probes_and_gives_up(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(60))
    held = await dialer(db).claim(30)
    for one in held:  # the first ten open it; the other twenty were live then and count no more
        await play(db, one, BROKEN)
    assert await dialer(db).claim(10) == []
    assert await db.fetchval("SELECT trips FROM batches") == 1
    for trip in range(2, 5):
        await forward(db, batch["id"])
        [probe] = await dialer(db).claim(10)
        await play(db, probe, BROKEN)
        assert await db.fetchval("SELECT trips FROM batches") == trip
    await forward(db, batch["id"])
    await play(db, (await dialer(db).claim(10))[0], BROKEN)
    shown = await batch_of(customer, batch["id"])
    assert (shown["status"], shown["reason"]) == ("paused", "failure_rate")
    assert [known["detail"]["times"] for known in shown["decisions"]] == [5, 4, 3, 2, 1]
    await act(customer, batch["id"], "resume")
    assert len(await dialer(db).claim(10)) == 10


async def test_a_good_probe_closes_the_breaker(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(40))
    for one in await dialer(db).claim(12):
        await play(db, one, BROKEN)
    await forward(db, batch["id"])
    [probe] = await dialer(db).claim(10)
    await play(db, probe, ANSWERED)
    assert len(await dialer(db).claim(10)) == 10


async def test_nobody_is_called_outside_the_window(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(3), window=ALWAYS)
    claimed = await dialer(db).claim(1)
    await db.execute("UPDATE batch_lanes SET closes_at = now()")
    assert (await play(db, claimed[0])).reason == "outside_window"
    again = await dialer(db).claim(10)  # the lane moves on to its next hours: in this window, those of now
    assert len(again) == 3
    await db.execute(
        "UPDATE batch_lanes SET opens_at = now() + interval '1 hour', closes_at = now() + interval '2 hours'"
    )
    for one in again:
        assert (await play(db, one)).reason == "outside_window"
    assert await dialer(db).claim(10) == []
    rows = await contacts_of(customer, batch["id"])
    assert {(row["state"], row["attempts"]) for row in rows} == {("pending", 0)}


async def test_a_scheduled_batch_waits(customer: Customer, projects: FakeProjects, db: Database) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    batch = await upload(customer, projects, csv_of(2), scheduleAt=at.isoformat())
    assert batch["status"] == "scheduled"
    assert await dialer(db).claim(10) == []
    await act(customer, batch["id"], "pause")
    assert (await act(customer, batch["id"], "resume"))["status"] == "scheduled"
    await db.execute("UPDATE batches SET schedule_at = now()")
    await db.execute("UPDATE batch_contacts SET due_at = now()")
    await db.execute("UPDATE batch_lanes SET opens_at = now()")
    assert len(await dialer(db).claim(10)) == 2
    assert (await batch_of(customer, batch["id"]))["status"] == "running"


def sweeper(db: Database, tmp_path: Path) -> Sweeper:
    return Sweeper(WrapUp(db, Analyzer(None), RecordingStore(tmp_path), PUBLIC), "sweeper", 1)


async def test_the_sweeper_frees_the_places_of_a_lost_worker(
    customer: Customer, projects: FakeProjects, db: Database, tmp_path: Path
) -> None:
    batch = await upload(customer, projects, csv_of(3), maxConcurrency="2")
    dialled, undialled = await dialer(db).claim(3)
    await start(db, dialled)
    await db.execute("UPDATE calls SET lease_until = now() - interval '1 second'")
    await asyncio.gather(*(sweeper(db, tmp_path).sweep_once() for _ in range(2)))

    async def is_swept() -> bool:
        """By one of these two, or by that of the API process."""
        shown = await batch_of(customer, batch["id"])
        return (shown["active"], shown["counts"]) == (1, {"failed": 1, "dialing": 1, "pending": 1})

    await eventually(is_swept)
    [requeued] = await claim(db, "other", LEASE, 5)
    assert requeued.id == undialled.call.id
    assert len(await dialer(db).claim(5)) == 1
    await play(db, Claimed(requeued, 0))
    assert (await batch_of(customer, batch["id"]))["counts"]["completed"] == 1


async def test_a_call_that_nobody_gets_dialled_ends_for_its_batch_too(
    customer: Customer, projects: FakeProjects, db: Database, tmp_path: Path
) -> None:
    batch = await upload(customer, projects, csv_of(1), maxConcurrency="1")
    claims = [(await dialer(db).claim(3))[0].call]
    for _ in range(MAX_CLAIMS):
        await db.execute("UPDATE calls SET lease_until = now() - interval '1 second' WHERE owner IS NOT NULL")
        await sweeper(db, tmp_path).sweep_once()
        claims += await claim(db, "other", LEASE, 5)
    assert [call.id for call in claims] == [claims[0].id] * MAX_CLAIMS
    shown = await batch_of(customer, batch["id"])
    assert (shown["active"], shown["counts"], shown["status"]) == (0, {"failed": 1}, "completed")
    assert await db.fetchval("SELECT reason FROM batch_contacts") == "worker_failed"


async def test_a_batch_that_can_not_be_read_holds_nobody_up(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    """Batches behind it were not dialled, and calls of those before it idled until their leases ended."""
    batches = [await upload(customer, projects, csv_of(2, first=10 * index)) for index in range(3)]
    served = [batch_id for batch_id, _tenant in await due_batches(db, 100, 10)]
    await db.execute('UPDATE batches SET retry = \'{"max": "often"}\' WHERE id = $1', served[1])
    claimed = await dialer(db).claim(6)
    assert sorted(str(one.call.batch_id) for one in claimed) == sorted([served[0], served[2]] * 2)
    assert len(batches) == len(served)


async def test_the_end_of_a_call_settles_once(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(2))
    one, _other = await dialer(db).claim(2)
    await play(db, one)
    ended = await calls.find(db, projects.tenant, one.call.id)
    assert ended is not None
    async with db.transaction() as tx:
        await settle(tx, ended)
    shown = await batch_of(customer, batch["id"])
    assert (shown["active"], shown["finished"]) == (1, 1)


async def test_a_deleted_project_calls_nobody(
    customer: Customer, projects: FakeProjects, db: Database, bus: InMemoryBus
) -> None:
    batch = await upload(customer, projects, csv_of(3))
    assert len(await dialer(db).claim(1)) == 1
    await bus.publish_many([project_deleted(projects)], 5)

    async def is_quiet() -> bool:  # the sweeper ends the claimed call
        return (await batch_of(customer, batch["id"]))["completed_at"] is not None

    await eventually(is_quiet)
    shown = await batch_of(customer, batch["id"])
    assert (shown["status"], shown["reason"]) == ("canceled", "project_deleted")
    assert shown["counts"] == {"canceled": 3}


async def test_a_batch_that_was_uploaded_while_its_project_was_deleted_is_canceled(
    customer: Customer, projects: FakeProjects, db: Database, bus: InMemoryBus
) -> None:
    """It ran for ever: it was not yet committed when the batches of the project were canceled."""
    await bus.publish_many([project_deleted(projects)], 5)

    async def is_deleted() -> bool:
        return bool(await db.fetchval("SELECT count(*) FROM deleted_projects"))

    await eventually(is_deleted)
    late = await upload(customer, projects, csv_of(3))
    assert await dialer(db).claim(5) == []

    async def is_canceled() -> bool:
        shown = await batch_of(customer, late["id"])
        return (shown["status"], shown["reason"]) == ("canceled", "project_deleted") and shown["completed_at"]

    await eventually(is_canceled)
    assert (await batch_of(customer, late["id"]))["counts"] == {"canceled": 3}


def project_deleted(projects: FakeProjects) -> Event:
    return Event(
        id=new_id(),
        type="project.deleted",
        time=datetime.now(UTC),
        source="project_service",
        subject=projects.project_id,
        tenant=projects.tenant,
        project_id=projects.project_id,
        sequence=1,
        data={},
    )


async def test_a_resting_batch_is_not_looked_at(customer: Customer, projects: FakeProjects, db: Database) -> None:
    batch = await upload(customer, projects, csv_of(2))
    assert await due_batches(db, 100, 10) == [(batch["id"], projects.tenant)]
    await act(customer, batch["id"], "pause")
    assert await due_batches(db, 100, 10) == []


@pytest.mark.parametrize("count", [1, 7])
async def test_a_claim_takes_no_more_than_asked(
    customer: Customer, projects: FakeProjects, db: Database, count: int
) -> None:
    for index in range(4):
        await upload(customer, projects, csv_of(10, first=100 * index))
    assert len(await dialer(db).claim(count)) == count
