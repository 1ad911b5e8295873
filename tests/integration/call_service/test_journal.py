"""The writes of a live call on a real database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal

from call_service.calls import repository
from call_service.calls.domain import CallTurn, Outcome, Status
from call_service.dialer.journal import MAX_TURN, Journal
from shared.background import running
from shared.db import Database, DatabaseUnavailableError, Tx
from tests.support.calls import claim
from tests.support.workers import LEASE, PUBLIC, events_of, queue, read


class DeafDatabase(Database):
    """Every second commit takes effect, but its confirmation is lost."""

    is_deaf = False

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with super().transaction() as tx:
            yield tx
        self.is_deaf = not self.is_deaf
        if self.is_deaf:
            raise DatabaseUnavailableError


async def test_whatever_a_vendor_has_heard_is_written_as_far_as_it_can_be(db: Database) -> None:
    """U+0000, which Postgres does not store, cost the call its journal, and so its life."""
    call_id = await queue(db)
    [call] = await claim(db, "worker", LEASE, 1)
    journal = Journal(db, call, PUBLIC)
    async with running(journal.run(), "journal"):
        journal.turn(CallTurn("user", "Hel\x00lo.", 0, 1, False), {})
        journal.turn(CallTurn("user", "x" * 1_100_000, 2, 3, False), {})
        await journal.flushed()
        outcome = Outcome(Status.CANCELED, "canceled_by_api")
        assert await journal.end(outcome, {"na\x00me": "An\x00na"}, Decimal(0), "USD")
    assert not journal.lost.is_set()
    assert (await read(db, call_id)).data == {"name": "Anna"}
    assert [turn.text for turn in await repository.turns(db, call_id)] == ["Hello.", "x" * MAX_TURN]


async def test_a_commit_whose_confirmation_is_lost_is_tried_again_and_has_its_effect_once(db: Database) -> None:
    """The callee was hung up on: the second try took its own work for another process's."""
    call_id = await queue(db)
    [call] = await claim(db, "worker", LEASE, 1)
    await Journal(db, call, PUBLIC).intend("simulated", LEASE)
    journal = Journal(DeafDatabase(db._pool, db._dsn, db.schema), call, PUBLIC)
    async with running(journal.run(), "journal"):
        journal.advance(Status.RINGING)
        journal.advance(Status.IN_PROGRESS)
        journal.turn(CallTurn("user", "Hello.", 0, 1, False), {})
        await journal.flushed()
    assert not journal.lost.is_set()
    assert journal.call.status is Status.IN_PROGRESS
    assert await events_of(db, call_id) == ["call.initiated", "call.ringing", "call.answered"]
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE subject = $1 AND type = 'call.turn'", call_id) == 1


async def test_the_intent_begins_the_lease_anew(db: Database) -> None:
    """A stall of less than the lease, right after it, dialled a call that was reported as ended already."""
    call_id = await queue(db)
    [call] = await claim(db, "worker", timedelta(seconds=1), 1)
    await Journal(db, call, PUBLIC).intend("simulated", LEASE)
    left = await db.fetchval("SELECT lease_until - initiated_at FROM calls WHERE id = $1", call_id)
    assert left == LEASE
