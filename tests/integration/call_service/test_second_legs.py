"""The second leg of a transfer takes a place of the trunk, in all workers' eyes, and gives it back whatever happens."""

from datetime import timedelta
from pathlib import Path

import pytest

from call_service.batches.dialing_queries import due_batches
from call_service.calls.claiming_queries import open_queues
from call_service.calls.domain import Status
from call_service.carriers.port import Answered
from call_service.dialer import control
from shared.db import Database
from shared.testing.waiting import eventually
from tests.integration.call_service.test_call_commands import NOBODY, TARGET, ask, in_call, reach, settled
from tests.integration.call_service.test_dial_limits import booked, claimer, trunk
from tests.support.batches import csv_of, upload
from tests.support.calls import Customer, FakeProjects
from tests.support.workers import queue, sweeper

WARM = {"to": TARGET, "mode": "warm", "announcement": "Anna."}


async def has_second_leg(db: Database, call_id: str) -> bool:
    return bool(await db.fetchval("SELECT has_second_leg FROM calls WHERE id = $1", call_id))


async def test_it_takes_a_place_until_it_ends(
    customer: Customer, projects: FakeProjects, db: Database, tmp_path: Path
) -> None:
    trunk_id = await trunk(db, customer.tenant, most=2)
    async with in_call(customer, db, tmp_path) as (call_id, carrier, _leg):
        before = await booked(db, trunk_id)
        _, command = await ask(customer, call_id, "transfer", WARM)
        await eventually(lambda: TARGET in carrier.numbers)
        assert (await booked(db, trunk_id))[-1] > before[-1], "it keeps the pace too"
        await queue(db, tenant=customer.tenant)
        await upload(customer, projects, csv_of(1))
        assert await open_queues(db, 100, 10) == []
        assert await due_batches(db, 100, 10) == []
        assert await claimer(db, "other").claim(5) == []
        carrier.leg_of(TARGET).end()
        assert (await settled(customer, command))[0] == "failed"
        await eventually(lambda: _is_free(db, call_id))
        await eventually(lambda: len(carrier.dialled) == 3)


async def _is_free(db: Database, call_id: str) -> bool:
    return not await has_second_leg(db, call_id)


async def test_a_full_trunk_fails_the_transfer_and_the_agent_goes_on(
    customer: Customer, db: Database, tmp_path: Path
) -> None:
    await trunk(db, customer.tenant, most=1)
    async with in_call(customer, db, tmp_path) as (call_id, carrier, _leg):
        _, command = await ask(customer, call_id, "transfer", WARM)
        assert await settled(customer, command) == ("failed", "trunk_busy")
        assert TARGET not in carrier.numbers
        assert not await has_second_leg(db, call_id)
        _, said = await ask(customer, call_id, "say", {"text": "Nobody is free."})
        assert await settled(customer, said) == ("done", None)


async def test_a_pace_that_has_no_room_soon_fails_it_too(
    customer: Customer, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "LONGEST_WAIT", timedelta(seconds=1))
    trunk_id = await trunk(db, customer.tenant, per_second=0.01)
    async with in_call(customer, db, tmp_path) as (call_id, carrier, _leg):
        _, command = await ask(customer, call_id, "transfer", WARM)
        assert await settled(customer, command) == ("failed", "trunk_busy")
        assert TARGET not in carrier.numbers
        assert not await has_second_leg(db, call_id)
        assert len(await booked(db, trunk_id)) == 1


async def test_a_target_that_is_not_reached_gives_the_place_back(
    customer: Customer, db: Database, tmp_path: Path
) -> None:
    await trunk(db, customer.tenant, most=2)
    async with in_call(customer, db, tmp_path) as (call_id, _carrier, _leg):
        for _ in range(3):
            _, command = await ask(customer, call_id, "transfer", {**WARM, "to": NOBODY})
            assert await settled(customer, command) == ("failed", "invalid_number")
        await eventually(lambda: _is_free(db, call_id))


async def test_the_end_of_the_call_gives_it_back(customer: Customer, db: Database, tmp_path: Path) -> None:
    await trunk(db, customer.tenant, most=2)
    async with in_call(customer, db, tmp_path) as (call_id, carrier, leg):
        await ask(customer, call_id, "transfer", WARM)
        await eventually(lambda: TARGET in carrier.numbers)
        carrier.leg_of(TARGET).emit(Answered())
        leg.end()
        await reach(db, call_id, Status.COMPLETED)
        waiting = [await queue(db, tenant=customer.tenant) for _ in range(3)]
        await eventually(lambda: len(set(waiting) & set(carrier.dialled)) == 2)


async def test_a_lost_worker_gives_it_back(customer: Customer, db: Database, tmp_path: Path) -> None:
    await trunk(db, customer.tenant, most=2)
    lost, *waiting = [await queue(db, tenant=customer.tenant) for _ in range(3)]
    await db.execute(
        """UPDATE calls SET status = 'in-progress', has_second_leg = true, owner = 'gone',
            lease_until = now() - interval '1 s' WHERE id = $1""",
        lost,
    )
    assert await claimer(db).claim(5) == []
    await sweeper(db, tmp_path).sweep_once()
    assert [one.call.id for one in await claimer(db).claim(5)] == waiting
