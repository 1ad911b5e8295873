"""The writes of a live call on a real database."""

from decimal import Decimal

from call_service.calls import repository
from call_service.calls.domain import CallTurn, Outcome, Status
from call_service.dialer.journal import MAX_TURN, Journal
from shared.background import running
from shared.db import Database
from tests.support.calls import claim
from tests.support.workers import LEASE, PUBLIC, queue, read


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
        assert await journal.end(outcome, {"name": "An\x00na"}, Decimal(0), "USD")
    assert not journal.lost.is_set()
    assert (await read(db, call_id)).data == {"name": "Anna"}
    assert [turn.text for turn in await repository.turns(db, call_id)] == ["Hello.", "x" * MAX_TURN]
