"""Places for dear work: few at a time, one of each owner, and a queue that is bounded and fair."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.fair_places import FairPlaces, NoPlaceError

LONG = 600.0


class Work:
    """What has a place, in the order in which it got one; each ends when it is told to."""

    def __init__(self, places: FairPlaces) -> None:
        self.places = places
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def ask(self, *names: str) -> None:
        """`anna 1` is a piece of work of anna."""
        for name in names:
            self._ends[name] = asyncio.Event()
            self._tasks[name] = asyncio.create_task(self._run(name))
            await asyncio.sleep(0)
        await self._settle()

    async def end(self, name: str) -> None:
        self._ends[name].set()
        await self._tasks[name]
        await self._settle()

    async def cancel(self, name: str) -> None:
        self._tasks[name].cancel()
        await asyncio.wait({self._tasks[name]})
        await self._settle()

    async def _run(self, name: str) -> None:
        async with self.places.place(name.split(maxsplit=1)[0]):
            self.begun.append(name)
            await self._ends[name].wait()

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    @staticmethod
    async def _settle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@asynccontextmanager
async def work(at_once: int = 2, *, waiting: int = 8, of_one: int = 3, patience: float = LONG) -> AsyncIterator[Work]:
    found = Work(FairPlaces(at_once, waiting=waiting, of_one=of_one, patience_seconds=patience))
    yield found
    await found.close()


async def test_an_owner_has_one_place_however_many_are_free() -> None:
    async with work() as found:
        await found.ask("anna 1", "anna 2", "ben 1")
        assert found.begun == ["anna 1", "ben 1"]
        await found.end("anna 1")
        assert found.begun[2:] == ["anna 2"]


async def test_a_free_place_goes_to_the_owner_who_was_served_least_recently() -> None:
    async with work(1) as found:
        await found.ask("anna 1", "anna 2", "anna 3", "ben 1", "ben 2", "cleo 1")
        for name in ("anna 1", "anna 2", "ben 1", "cleo 1", "anna 3"):
            await found.end(name)
        assert found.begun == ["anna 1", "anna 2", "ben 1", "cleo 1", "anna 3", "ben 2"]


async def test_one_owner_can_not_fill_the_queue() -> None:
    async with work(1, of_one=2) as found:
        await found.ask("anna 1", "anna 2", "anna 3")
        with pytest.raises(NoPlaceError):
            async with found.places.place("anna"):
                pass
        await found.ask("ben 1")
        assert found.places.waiting == 3


async def test_the_queue_is_bounded_for_all() -> None:
    async with work(1, waiting=2) as found:
        await found.ask("anna 1", "ben 1", "cleo 1")
        with pytest.raises(NoPlaceError):
            async with found.places.place("dora"):
                pass
        await found.end("anna 1")
        await found.ask("dora 1")
        assert found.places.waiting == 2


async def test_nobody_waits_for_ever() -> None:
    async with work(1, patience=0.01) as found:
        await found.ask("anna 1")
        with pytest.raises(NoPlaceError):
            async with found.places.place("ben"):
                pass
        assert found.places.waiting == 0
        await found.end("anna 1")
        await found.ask("ben 1")
        assert found.begun == ["anna 1", "ben 1"]


async def test_who_goes_away_leaves_the_queue_to_the_others() -> None:
    async with work(1) as found:
        await found.ask("anna 1", "ben 1", "cleo 1")
        await found.cancel("ben 1")
        await found.cancel("anna 1")
        assert (found.begun, found.places.waiting) == (["anna 1", "cleo 1"], 0)


async def test_a_place_that_is_given_to_one_who_goes_away_is_given_on() -> None:
    async with work(1) as found:
        await found.ask("anna 1", "ben 1", "cleo 1")
        found._ends["anna 1"].set()
        await asyncio.sleep(0)  # anna has ended, and ben was given the place, but has not run yet
        assert found.begun == ["anna 1"]
        await found.cancel("ben 1")
        assert found.begun == ["anna 1", "cleo 1"]


async def test_work_that_fails_frees_its_place() -> None:
    places = FairPlaces(1, waiting=1, of_one=1, patience_seconds=LONG)
    with pytest.raises(ValueError, match="broken"):
        async with places.place("anna"):
            raise ValueError("broken")
    async with places.place("anna"):
        assert places.waiting == 0
