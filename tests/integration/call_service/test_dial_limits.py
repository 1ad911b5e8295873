"""What tenants and trunks have room for, on a real database: exact for any number of workers, in nobody else's way."""

import asyncio
import itertools
import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from call_service.batches.dialing_queries import due_batches
from call_service.calls.claiming import CallClaimer, Claimed, Claimer
from call_service.calls.claiming_queries import Queue, open_queues
from call_service.calls.domain import CANCELED_BY_API
from call_service.calls.wrap_up import end_queued
from call_service.capacity.domain import Limits
from call_service.capacity.repository import PRUNE
from shared.db import Database
from shared.ids import new_id
from tests.support.batches import LEASE, PUBLIC, csv_of, dialer, play, upload
from tests.support.calls import LIMITS, Customer, FakeProjects, claim
from tests.support.workers import queue, read, sweeper

FROM = "+12025550199"


async def trunk(db: Database, tenant: str, *, most: int = 1000, per_second: float = 1000) -> str:
    """A trunk of the number that calls are made from."""
    trunk_id = new_id()
    await db.execute(
        """INSERT INTO trunks (id, tenant, name, host, transport, srtp, username, password, realm, registers, inbound,
                allowed_addresses, calls_per_second, max_concurrent)
            VALUES ($1, $2, $3, 'sip.example.com', 'udp', 'off', '', '', '', false, 'address', '[]', $4, $5)""",
        trunk_id,
        tenant,
        f"trunk {trunk_id}",
        per_second,
        most,
    )
    await db.execute(
        """INSERT INTO trunk_numbers (tenant, number, trunk_id) VALUES ($1, $2, $3)
            ON CONFLICT (tenant, number) DO UPDATE SET trunk_id = $3""",
        tenant,
        FROM,
        trunk_id,
    )
    return trunk_id


def claimer(db: Database, owner: str = "worker", limits: Limits = LIMITS) -> CallClaimer:
    return CallClaimer(db, owner, LEASE, limits)


async def booked(db: Database, scope: str) -> list[datetime]:
    return list(await db.fetchval("SELECT booked FROM dial_paces WHERE id = $1", scope))


async def raced(claimers: list[Claimer], limit: int = 5) -> list[Claimed]:
    """What all of them get together, at once."""
    return [one for some in await asyncio.gather(*(each.claim(limit) for each in claimers)) for one in some]


async def test_workers_race_for_the_last_place_of_a_trunk(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    """Single calls and batches, several workers: one gets it, and when its call has ended the next one does."""
    trunk_id = await trunk(db, projects.tenant, most=2)
    await upload(customer, projects, csv_of(10))
    await upload(customer, projects, csv_of(10, first=100))
    for _ in range(3):
        await queue(db, tenant=projects.tenant)
    [holder] = await claimer(db).claim(1)
    workers: list[Claimer] = [
        each for index in range(3) for each in (claimer(db, f"c{index}"), dialer(db, f"b{index}"))
    ]
    for _ in range(4):
        [winner] = await raced(workers)
        assert winner.call.trunk_id == trunk_id
        assert await raced(workers) == []
        await play(db, winner)
    await play(db, holder)
    assert len(await raced(workers)) == 2


async def test_a_tenant_has_no_more_live_calls_than_allowed(
    customer: Customer, projects: FakeProjects, db: Database
) -> None:
    limits = Limits(calls_per_second=1000, max_calls=4)
    await upload(customer, projects, csv_of(10))
    await upload(customer, projects, csv_of(10, first=100))
    for _ in range(2):
        await queue(db, tenant=projects.tenant)
    assert len(await claimer(db, limits=limits).claim(5)) == 2
    held = await raced([dialer(db, f"w{index}", limits=limits) for index in range(4)])
    assert len(held) == 2
    await queue(db, tenant=projects.tenant)
    assert await claimer(db, limits=limits).claim(5) == []
    stranger = await queue(db)
    assert [one.call.id for one in await claimer(db, limits=limits).claim(5)] == [stranger]
    await play(db, held[0])
    assert len(await claimer(db, limits=limits).claim(5)) == 1


async def test_a_full_trunk_holds_nobody_else_up(customer: Customer, projects: FakeProjects, db: Database) -> None:
    """However many calls and batches wait for it, and however long: other trunks, numbers and tenants go on."""
    full = await trunk(db, projects.tenant, most=1)
    for _ in range(30):
        await queue(db, tenant=projects.tenant)
    await upload(customer, projects, csv_of(5))
    assert len(await claimer(db).claim(40)) == 1
    assert await open_queues(db, 100, 10) == []
    assert await due_batches(db, 100, 10) == []

    other = await trunk(db, projects.tenant, most=1)
    mine, strangers = await queue(db, tenant=projects.tenant), await queue(db)
    assert await open_queues(db, 100, 10) == [
        Queue(str(await db.fetchval("SELECT tenant FROM calls WHERE id = $1", strangers)), None),
        Queue(projects.tenant, other),
    ]
    found = [one.call for one in await claimer(db).claim(40)]
    assert {(call.id, call.trunk_id) for call in found} == {(mine, other), (strangers, None)}
    assert await due_batches(db, 100, 10) == []  # its number is the other trunk's now, and that one is full as well
    await trunk(db, projects.tenant)
    [batch_id, _tenant] = (await due_batches(db, 100, 10))[0]
    assert {one.call.batch_id for one in await dialer(db).claim(3)} == {batch_id}
    assert await db.fetchval("SELECT count(*) FROM calls WHERE trunk_id = $1 AND owner IS NOT NULL", full) == 1


async def test_a_long_queue_is_not_read_where_statistics_are_older_than_it(db: Database) -> None:
    """The planner once took an index by time for these, and read all calls that waited, for each queue again."""
    for _ in range(3):
        await trunk(db, new_id())
    await db.execute("ALTER TABLE calls SET (autovacuum_enabled = false)")
    waiting = """INSERT INTO calls (id, tenant, project_id, agent_id, agent_version, agent, direction, from_number,
            to_number, status, trunk_id)
        SELECT gen_random_uuid(), tenant, gen_random_uuid(), gen_random_uuid(), 1, '{}', 'outbound', '+12025550199',
            '+12025550100', 'queued', id FROM trunks, generate_series(1, 5000)"""
    await db.execute(waiting)
    await db.execute("UPDATE calls SET status = 'busy', ended_at = now()")
    await db.execute("ANALYZE calls")
    await db.execute(waiting)
    plan = await db.fetch("EXPLAIN (ANALYZE, COSTS false, TIMING false) SELECT * FROM call_queues")
    read = [int(found) for row in plan for found in re.findall(r"rows=(\d+)", row[0])]
    assert max(read) <= 3
    assert len(await open_queues(db, 100, 10)) == 3


async def test_places_are_shared_between_tenants_that_wait(db: Database) -> None:
    greedy, modest = new_id(), new_id()
    for _ in range(20):
        await queue(db, tenant=greedy)
    for _ in range(3):
        await queue(db, tenant=modest)
    found = Counter(one.call.tenant for one in await claimer(db).claim(6))
    assert found == {greedy: 3, modest: 3}
    await queue(db, tenant=modest)
    [held] = await db.fetch("SELECT id FROM calls WHERE tenant = $1 AND owner IS NOT NULL LIMIT 1", modest)
    await db.execute("UPDATE calls SET ended_at = now(), status = 'busy' WHERE id = $1", held["id"])
    assert [one.call.tenant for one in await claimer(db).claim(1)] == [modest]  # two are live, of the other three


async def test_single_calls_are_spread_inside_the_second(db: Database) -> None:
    tenant = new_id()
    for _ in range(20):
        await queue(db, tenant=tenant)
    claimed = await claimer(db, limits=Limits(calls_per_second=4, max_calls=100)).claim(20)
    assert [one.delay_seconds for one in claimed] == [0, 0.25, 0.5, 0.75, 1.0, 1.25]
    assert [one.call.created_at for one in claimed] == sorted(one.call.created_at for one in claimed)
    assert await claimer(db, limits=Limits(calls_per_second=4, max_calls=100)).claim(0) == []


@pytest.mark.parametrize("is_of_trunk", [True, False])
async def test_batches_and_single_calls_share_a_pace(
    customer: Customer, projects: FakeProjects, db: Database, is_of_trunk: bool
) -> None:
    """The slow batch books ahead, the others fill the gaps; all workers together keep the distance."""
    trunk_id = await trunk(db, projects.tenant, per_second=10 if is_of_trunk else 1000)
    limits = Limits(calls_per_second=1000 if is_of_trunk else 10, max_calls=1000)
    await upload(customer, projects, csv_of(20), callsPerSecond="2")
    await upload(customer, projects, csv_of(20, first=100))
    slow = await dialer(db, limits=limits).claim(2)
    for _ in range(20):
        await queue(db, tenant=projects.tenant)
    await raced(
        [
            each
            for index in range(3)
            for each in (claimer(db, f"c{index}", limits), dialer(db, f"b{index}", limits=limits))
        ]
    )
    starts = await booked(db, trunk_id if is_of_trunk else projects.tenant)
    assert len(starts) > 10 > len(slow)
    gaps = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert min(gaps) >= timedelta(milliseconds=100)


async def test_whoever_ends_a_call_gives_its_place_back(db: Database, tmp_path: Path) -> None:
    tenant, limits = new_id(), Limits(calls_per_second=1000, max_calls=1)
    dialled, canceled, *_rest = [await queue(db, tenant=tenant) for _ in range(3)]
    [one] = await claimer(db, limits=limits).claim(5)
    assert one.call.id == dialled
    await db.execute(
        "UPDATE calls SET status = 'initiated', lease_until = now() - interval '1 second' WHERE id = $1", dialled
    )
    assert await claimer(db, limits=limits).claim(5) == []
    assert await sweeper(db, tmp_path).sweep_once() == 1
    [one] = await claimer(db, limits=limits).claim(5)
    assert one.call.id == canceled
    async with db.transaction() as tx:
        await end_queued(tx, one.call, CANCELED_BY_API, PUBLIC)
    [last] = await claimer(db, limits=limits).claim(5)
    await db.execute("UPDATE calls SET lease_until = now() - interval '1 second' WHERE id = $1", last.call.id)
    await sweeper(db, tmp_path).sweep_once()  # never dialled: back in the queue, and no place is taken
    assert [again.call.id for again in await claimer(db, limits=limits).claim(5)] == [last.call.id]


async def test_calls_that_come_in_take_places_of_their_trunk(db: Database) -> None:
    tenant = new_id()
    await trunk(db, tenant, most=1)
    ringing, waiting = await queue(db, tenant=tenant), await queue(db, tenant=tenant)
    await db.execute(
        "UPDATE calls SET direction = 'inbound', status = 'ringing', owner = 'w', lease_until = now() WHERE id = $1",
        ringing,
    )
    assert await claim(db, "worker", LEASE, 5) == []
    await db.execute("UPDATE calls SET status = 'completed', ended_at = now() WHERE id = $1", ringing)
    assert [call.id for call in await claim(db, "worker", LEASE, 5)] == [waiting]


async def test_a_call_of_a_trunk_that_is_gone_is_claimed(db: Database) -> None:
    """Its worker then says that there is no such trunk."""
    tenant = new_id()
    trunk_id = await trunk(db, tenant)
    call_id = await queue(db, tenant=tenant)
    await db.execute("DELETE FROM trunks WHERE id = $1", trunk_id)
    assert [call.id for call in await claim(db, "worker", LEASE, 5)] == [call_id]
    assert (await read(db, call_id)).trunk_id == trunk_id


async def test_paces_that_say_nothing_any_more_are_deleted(db: Database) -> None:
    tenant = new_id()
    await queue(db, tenant=tenant)
    await claim(db, "worker", LEASE, 5)
    assert await db.execute(PRUNE, timedelta(days=2), 10) == "DELETE 0"
    await db.execute("UPDATE dial_paces SET next_at = now() - interval '3 days'")
    assert await db.execute(PRUNE, timedelta(days=2), 10) == "DELETE 1"
    await queue(db, tenant=tenant)
    assert len(await claim(db, "worker", LEASE, 5)) == 1


async def test_a_wait_is_the_platforms_only_where_nothing_of_the_customer_holds_the_call_back(db: Database) -> None:
    """It wakes an operator, who can do nothing about the limits of a customer."""

    async def waited(limits: Limits = LIMITS) -> float:
        await claimer(db, limits=limits).measure()
        found = REGISTRY.get_sample_value("talkstack_worker_longest_wait_seconds")
        assert found is not None
        return found

    tenant, one_at_a_time = new_id(), Limits(calls_per_second=1000, max_calls=1)
    trunk_id = await trunk(db, tenant, most=1)
    for _ in range(3):
        await queue(db, tenant=tenant)
    assert await waited() < 60
    await db.execute("UPDATE calls SET created_at = now() - interval '90 seconds'")
    assert 90 <= await waited() < 120
    [held] = await claimer(db).claim(5)
    assert await waited() == 0  # the trunk is full
    await db.execute("UPDATE trunks SET max_concurrent = 10")
    assert await waited(one_at_a_time) == 0
    await db.execute("UPDATE dial_paces SET next_at = now() + interval '1 hour' WHERE id = $1", trunk_id)
    assert await waited() == 0  # the next start is booked: calls of this trunk are being dialled
    await db.execute("UPDATE dial_paces SET next_at = now() - interval '1 second'")
    assert 90 <= await waited() < 120
    assert held.call.trunk_id == trunk_id
