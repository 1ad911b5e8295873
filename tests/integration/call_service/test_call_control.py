"""Cancelling and ending calls, and what happens to those of a deleted project."""

import asyncio
import random
import time
from pathlib import Path
from typing import Any

import pytest

from call_service.calls import repository
from call_service.calls import service as calls_service
from call_service.calls.consumer import PROJECT_DELETED
from call_service.calls.domain import Status
from call_service.dialer.journal import FenceLostError, Journal
from call_service.dialer.runner import CallRunner
from shared.background import running
from shared.db import Database
from shared.ids import new_id
from shared.memory_bus import InMemoryBus
from shared.testing.events import make_event
from shared.testing.waiting import eventually
from tests.support.calls import Customer, claim
from tests.support.workers import (
    LEASE,
    PUBLIC,
    Switchboard,
    events_of,
    new_worker,
    queue,
    read,
    sweeper,
    tools,
    working,
)


async def cancel(customer: Customer, call_id: str) -> tuple[int, Any]:
    return await customer.ask("POST", f"/call/{call_id}/cancel")


async def reach(db: Database, call_id: str, *states: Status) -> None:
    async def is_there() -> bool:
        return (await read(db, call_id)).status in states

    await eventually(is_there)


async def test_a_queued_call_is_canceled_at_once(customer: Customer, db: Database) -> None:
    call_id = await queue(db, tenant=customer.tenant)
    for _ in range(2):  # the second finds it canceled
        status, answer = await cancel(customer, call_id)
        assert (status, answer["message"]) == (200, "call canceled.")
        assert (answer["call"]["status"], answer["call"]["reason"]) == ("canceled", "canceled_by_api")
    assert await events_of(db, call_id) == ["call.ended", "call.completed"]
    assert await claim(db, "worker", LEASE, 10) == []


async def test_a_worker_that_has_claimed_a_canceled_call_does_not_dial_it(customer: Customer, db: Database) -> None:
    call_id = await queue(db, tenant=customer.tenant)
    [call] = await claim(db, "worker", LEASE, 1)
    assert (await cancel(customer, call_id))[0] == 200
    with pytest.raises(FenceLostError):
        await Journal(db, call, PUBLIC).intend("any", LEASE)
    assert await repository.renew(db, "worker", LEASE, {call_id: call.fence}) == set()


async def test_a_call_that_waits_long_for_its_turn_leaves_its_worker_when_it_is_canceled(
    customer: Customer, db: Database, tmp_path: Path
) -> None:
    carrier = Switchboard()
    worker = await new_worker(db, carrier, tmp_path, lease=LEASE, max_calls=1)
    call_id = await queue(db, tenant=customer.tenant)
    [call] = await claim(db, worker.owner, LEASE, 1)
    worker.start(call, CallRunner(call, await tools(db, carrier, tmp_path), starts_in=3600))
    async with running(worker.run(heartbeat_seconds=0.1), "worker"):
        assert (await cancel(customer, call_id))[0] == 200
        async with asyncio.timeout(20):
            await worker.drain()
    assert carrier.numbers == []


async def test_a_ringing_call_is_hung_up_without_waiting_for_a_heartbeat(
    customer: Customer, db: Database, tmp_path: Path
) -> None:
    carrier = Switchboard()
    async with working(db, carrier, tmp_path):
        took = []
        for _ in range(5):
            call_id = await queue(db, tenant=customer.tenant)
            await reach(db, call_id, Status.RINGING)
            started = time.monotonic()
            status, answer = await cancel(customer, call_id)
            took.append(time.monotonic() - started)
            assert (status, answer["call"]["status"], answer["call"]["reason"]) == (200, "canceled", "canceled_by_api")
            assert carrier.legs[call_id].has_ended
            assert (await events_of(db, call_id)).count("call.ended") == 1
    assert sorted(took)[len(took) // 2] < 2, "a heartbeat comes every ten seconds"


async def test_a_call_whose_intent_is_committed_is_canceled_with_certainty_or_not_at_all(
    customer: Customer, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the carrier is being asked nobody can tell whether it dials, so the answer is no success."""
    monkeypatch.setattr(calls_service, "CONFIRM_SECONDS", 0.5)
    carrier = Switchboard()
    carrier.opened.clear()
    async with working(db, carrier, tmp_path):
        call_id = await queue(db, tenant=customer.tenant)
        await eventually(lambda: carrier.asked == [call_id])
        status, answer = await cancel(customer, call_id)
        assert (status, answer["code"]) == (503, "cancel_unconfirmed")
        carrier.opened.set()
        await reach(db, call_id, Status.CANCELED)
        assert carrier.legs[call_id].has_ended
        assert (await cancel(customer, call_id))[0] == 200


async def test_after_a_success_nobody_is_dialled_who_was_not(customer: Customer, db: Database, tmp_path: Path) -> None:
    """Whenever the request comes: what was dialled when it was answered is all that ever is."""
    carrier = Switchboard()
    chance = random.Random(5)

    async def one(number: int) -> tuple[int, str, bool]:
        call_id = await queue(db, tenant=customer.tenant)
        if number % 4 == 0:
            await eventually(lambda: call_id in carrier.dialled)
        await asyncio.sleep(chance.random() * 0.1)
        status, _ = await cancel(customer, call_id)
        return status, call_id, call_id in carrier.dialled

    async with working(db, carrier, tmp_path, max_calls=10):
        results = await asyncio.gather(*(one(number) for number in range(40)))
        await asyncio.sleep(0.5)  # time to dial what must not be dialled
    assert {status for status, _, _ in results} == {200}
    assert [was for _, _, was in results] == [call_id in carrier.dialled for _, call_id, _ in results]
    assert len({was for _, _, was in results}) == 2, "some were dialled before, some were not"
    assert len(carrier.dialled) == len(set(carrier.dialled))


async def test_an_answered_call_is_ended_politely(customer: Customer, db: Database, tmp_path: Path) -> None:
    carrier = Switchboard(answers=0)
    async with working(db, carrier, tmp_path):
        call_id = await queue(db, tenant=customer.tenant)
        await reach(db, call_id, Status.IN_PROGRESS)
        status, answer = await cancel(customer, call_id)
        assert (status, answer["code"]) == (409, "call_answered")
        for _ in range(2):
            status, answer = await customer.ask("POST", f"/call/{call_id}/end")
            assert (status, answer["message"], answer["call"]["status"]) == (
                202,
                "the call is being ended.",
                "in-progress",
            )
        await reach(db, call_id, Status.COMPLETED)
    call = await read(db, call_id)
    assert (call.reason, call.fault) == ("caller_api_ended", "none")
    said = await repository.turns(db, call_id)
    assert "bye" in said[-1].text.lower()


async def test_a_request_that_no_notification_told_is_found(customer: Customer, db: Database, tmp_path: Path) -> None:
    carrier = Switchboard()
    async with working(db, carrier, tmp_path, heartbeat_seconds=0.1):
        call_id = await queue(db, tenant=customer.tenant)
        await reach(db, call_id, Status.RINGING)
        await db.execute(
            "INSERT INTO call_commands (id, call_id, kind, arguments) VALUES ($1, $2, 'cancel', '{}')",
            new_id(),
            call_id,
        )
        await reach(db, call_id, Status.CANCELED)


@pytest.mark.parametrize(("action", "code"), [("cancel", "call_ended"), ("end", "call_ended")])
async def test_an_ended_call_stays_as_it_ended(
    customer: Customer, db: Database, tmp_path: Path, action: str, code: str
) -> None:
    carrier = Switchboard()
    async with working(db, carrier, tmp_path):
        call_id = await queue(db, tenant=customer.tenant)
        await eventually(lambda: call_id in carrier.legs)
        carrier.legs[call_id].end("callee_busy")
        await reach(db, call_id, Status.BUSY)
        status, answer = await customer.ask("POST", f"/call/{call_id}/{action}")
    assert (status, answer["code"]) == (409, code)
    assert (await read(db, call_id)).status is Status.BUSY


async def test_a_call_that_is_not_answered_cannot_be_ended(customer: Customer, db: Database) -> None:
    call_id = await queue(db, tenant=customer.tenant)
    status, answer = await customer.ask("POST", f"/call/{call_id}/end")
    assert (status, answer["code"]) == (409, "call_not_in_progress")


@pytest.mark.parametrize("action", ["cancel", "end"])
async def test_somebody_elses_call_is_unknown(stranger: Customer, db: Database, action: str) -> None:
    for call_id in (await queue(db), new_id(), "no-id"):
        status, answer = await stranger.ask("POST", f"/call/{call_id}/{action}")
        assert (status, answer["code"]) == (404, "call_not_found")


async def test_queued_calls_of_a_deleted_project_are_canceled_and_live_ones_go_on(
    customer: Customer, db: Database, bus: InMemoryBus, tmp_path: Path
) -> None:
    project_id, carrier = new_id(), Switchboard(answers=0)
    async with working(db, carrier, tmp_path, max_calls=1):
        live = await queue(db, project_id=project_id)
        await reach(db, live, Status.IN_PROGRESS)
        waiting = [await queue(db, project_id=project_id) for _ in range(3)]
        other = await queue(db)
        event = make_event(PROJECT_DELETED, subject=project_id)
        await bus.publish_many([event, event], 5)
        for call_id in waiting:
            await reach(db, call_id, Status.CANCELED)
        assert (await read(db, live)).status is Status.IN_PROGRESS
        assert (await read(db, other)).status is Status.QUEUED
        canceled = await read(db, waiting[0])
        assert (canceled.reason, canceled.fault) == ("project_deleted", "tenant")
        assert await events_of(db, canceled.id) == ["call.ended", "call.completed"]


async def test_a_call_of_a_deleted_project_is_not_claimed(db: Database, tmp_path: Path) -> None:
    project_id = new_id()
    late = await queue(db, project_id=project_id)
    async with db.transaction() as tx:
        await repository.forget_project(tx, project_id)
    assert await claim(db, "worker", LEASE, 10) == []
    sweepers = [sweeper(db, tmp_path) for _ in range(2)]
    assert sum(await asyncio.gather(*(one.cancel_once() for one in sweepers))) == 1
    assert (await read(db, late)).status is Status.CANCELED


async def test_calls_are_listed_newest_first(customer: Customer, stranger: Customer, db: Database) -> None:
    project_id = new_id()
    made = [await queue(db, tenant=customer.tenant, project_id=project_id) for _ in range(3)]
    other = await queue(db, tenant=customer.tenant)
    await queue(db)
    assert (await cancel(customer, made[1]))[0] == 200

    async def ids(query: str) -> tuple[list[str], str | None]:
        status, answer = await customer.ask("GET", f"/call?{query}")
        assert status == 200, answer
        return [call["call_id"] for call in answer["data"]], answer["next_cursor"]

    first, cursor = await ids("limit=3")
    assert first == [other, made[2], made[1]]
    assert await ids(f"limit=3&cursor={cursor}") == ([made[0]], None)
    assert await ids(f"projectId={project_id}") == (made[::-1], None)
    assert await ids("status=canceled&status=busy") == ([made[1]], None)
    assert (await stranger.ask("GET", "/call"))[1] == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=101", 422, "invalid_request"),
        ("projectId=no-id", 422, "invalid_request"),
        ("status=gone", 422, "invalid_request"),
        ("unknown=1", 422, "invalid_request"),
        ("cursor=forged", 400, "invalid_cursor"),
    ],
)
async def test_a_malformed_list_is_refused(customer: Customer, query: str, status: int, code: str) -> None:
    found, answer = await customer.ask("GET", f"/call?{query}")
    assert (found, answer["code"]) == (status, code)
