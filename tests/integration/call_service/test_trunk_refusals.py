"""Refused calls of a trunk over the API: the last ones only, for a week, and for nobody else."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from call_service.carriers.port import RefusedCall
from call_service.inbound import refusals as module
from call_service.inbound.refusals import RefusalLog
from call_service.signalling.ladder import Ladder, LadderEntry
from call_service.trunks import refusals
from call_service.trunks.refusals import KEPT, KEPT_FOR, PRUNE, Refusal
from shared.db import Database
from shared.ids import new_id
from tests.integration.call_service.test_trunks_api import make
from tests.support.calls import Customer

AT = datetime(2026, 11, 25, 9, tzinfo=UTC)
PEER = ("198.51.100.7", 5060)


def messages(count: int = 2) -> list[LadderEntry]:
    return [
        LadderEntry(AT, bool(n), "UDP", ("192.0.2.1", 5060), PEER, f"INVITE sip:{n} SIP/2.0\n") for n in range(count)
    ]


async def keep(db: Database, trunk_id: str, caller: str = "+12025550100", **changes: Any) -> None:
    refusal = Refusal(None, caller, "+12025550199", 404, "unknown_number", changes.get("messages", messages()))
    async with db.transaction() as tx:
        await refusals.add(tx, trunk_id, refusal)


async def shown(customer: Customer, trunk_id: str) -> list[dict[str, Any]]:
    status, answer = await customer.ask("GET", f"/trunk/{trunk_id}/refusals")
    assert status == 200, answer
    return list(answer["data"])


async def test_they_are_shown_with_their_messages_to_the_trunk_s_owner(
    customer: Customer, stranger: Customer, db: Database
) -> None:
    trunk_id = (await make(customer))["id"]
    assert await shown(customer, trunk_id) == []
    await keep(db, trunk_id, messages=messages(30))
    [one] = await shown(customer, trunk_id)
    expected = {"from": "+12025550100", "to": "+12025550199", "sip_code": 404, "reason": "unknown_number"}
    assert {name: one[name] for name in expected} == expected
    assert one["call_id"] is None
    assert len(one["messages"]) == refusals.MAX_MESSAGES
    assert (one["messages"][-1]["summary"], one["messages"][-1]["peer"]) == ("INVITE sip:29", "198.51.100.7:5060")
    for customers, unknown in ((stranger, trunk_id), (customer, new_id()), (customer, "x")):
        status, answer = await customers.ask("GET", f"/trunk/{unknown}/refusals")
        assert (status, answer["code"]) == (404, "trunk_not_found")


async def test_the_last_fifty_of_each_trunk_are_kept_for_a_week(customer: Customer, db: Database) -> None:
    mine, other = (await make(customer))["id"], (await make(customer, name="other", numbers=[]))["id"]
    await keep(db, other)
    for number in range(KEPT + 5):
        await keep(db, mine, f"+1202555{number:04}")
    assert [one["from"] for one in await shown(customer, mine)] == [
        f"+1202555{number:04}" for number in range(KEPT + 4, 4, -1)
    ]
    assert await db.fetchval("SELECT count(*) FROM trunk_refusals") == KEPT + 1
    await db.execute("UPDATE trunk_refusals SET refused_at = now() - interval '8 days' WHERE trunk_id = $1", mine)
    assert await shown(customer, mine) == []
    assert await db.execute(PRUNE, KEPT_FOR, 1000) == f"DELETE {KEPT}"
    assert len(await shown(customer, other)) == 1


async def test_those_of_a_deleted_trunk_go_with_it(customer: Customer, db: Database) -> None:
    trunk_id = (await make(customer))["id"]
    await keep(db, trunk_id)
    async with customer.open("DELETE", f"/trunk/{trunk_id}") as answer:
        assert answer.status == 204
    await keep(db, trunk_id)
    assert await db.fetchval("SELECT count(*) FROM trunk_refusals") == 0


async def test_a_flood_costs_no_more_than_a_few_at_a_time(
    customer: Customer, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING", 3)
    trunk_id = (await make(customer))["id"]
    before = module.DROPPED._value.get()
    log = RefusalLog(db)
    for number in range(10):
        log.note(RefusedCall([trunk_id], f"+1202555{number:04}", "+12025550199", 404, "unknown_number", Ladder()))
    async with asyncio.timeout(10):
        await log.close()
    assert len(await shown(customer, trunk_id)) == 3
    assert module.DROPPED._value.get() - before == 7


async def test_a_refusal_that_the_database_does_not_take_is_dropped(
    customer: Customer, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.05)
    trunk_id = (await make(customer))["id"]
    before = module.DROPPED._value.get()
    log = RefusalLog(db)
    async with db.transaction() as tx:
        await tx.execute("LOCK TABLE trunk_refusals")
        log.note(RefusedCall([trunk_id], "+12025550100", "+12025550199", 404, "unknown_number", Ladder()))
        await log.close()
    assert module.DROPPED._value.get() - before == 1
