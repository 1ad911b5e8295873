"""One queue that can't be read costs neither what the others gave already nor what they would give."""

import asyncpg
import pytest

from call_service.calls.claiming import Claimed, claim_each
from shared.db import DatabaseUnavailableError


class Queues:
    """Each has as many calls as are asked for, or fails; remembers what was asked."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.asked: list[tuple[str, int]] = []

    async def claim(self, name: str, places: int) -> list[Claimed]:
        self.asked.append((name, places))
        if error := self.errors.get(name):
            raise error
        return [Claimed(name, 0.0)] * places  # type: ignore[arg-type] # nobody looks at the calls


async def claimed(queues: Queues, limit: int, **shares: int) -> list[str]:
    return [str(one.call) for one in await claim_each(shares.items(), queues.claim, limit)]


@pytest.mark.parametrize("error", [ValueError("as stored"), asyncpg.DataError("as stored")], ids=["ours", "postgres"])
async def test_a_broken_queue_stops_nobody(error: Exception) -> None:
    """What the first one gave was committed, and idled until its lease ended."""
    queues = Queues(broken=error)
    assert await claimed(queues, 6, first=2, broken=2, last=2) == ["first"] * 2 + ["last"] * 4


async def test_the_place_of_a_broken_queue_goes_to_the_next() -> None:
    """With a single place the first queue of a customer is offered all of it, each time."""
    queues = Queues(broken=ValueError(), worse=ValueError())
    assert await claimed(queues, 1, broken=1, worse=0, last=0, unasked=1) == ["last"]
    assert queues.asked == [("broken", 1), ("worse", 1), ("last", 1)]


async def test_no_more_than_the_limit_is_claimed() -> None:
    queues = Queues()
    assert await claimed(queues, 3, first=2, second=2, third=2) == ["first", "first", "second"]
    assert queues.asked == [("first", 2), ("second", 1)]


async def test_without_a_database_nobody_else_is_asked() -> None:
    """Each would wait for a connection in vain, while calls that come in wait for the claim to end."""
    queues = Queues(second=DatabaseUnavailableError())
    assert await claimed(queues, 6, first=2, second=2, third=2) == ["first"] * 2
    assert [name for name, _places in queues.asked] == ["first", "second"]


async def test_a_database_that_was_never_there_is_told() -> None:
    with pytest.raises(DatabaseUnavailableError):
        await claimed(Queues(first=DatabaseUnavailableError()), 4, first=2, second=2)
