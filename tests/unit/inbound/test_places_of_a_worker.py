"""Calls that come in and calls that are claimed share the places of a worker, also when they come together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from call_service.dialer import worker as module
from call_service.dialer.worker import Worker
from call_service.scenarios import repository
from call_service.scenarios.player import ScenarioPlayer
from shared.background import running


class Claimer:
    """Takes as many calls as it may, once it is let."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def claim(self, limit: int) -> list[Any]:
        self.asked.set()
        await self.may_answer.wait()
        return [(SimpleNamespace(id=str(number), fence=1), 0.0) for number in range(limit)]


class Talk:
    """A call that lasts."""

    def __init__(self, *_: object) -> None: ...

    async def run(self) -> None:
        await asyncio.Event().wait()

    def request_end(self) -> None: ...


@asynccontextmanager
async def claiming(monkeypatch: Any, claimer: Claimer, max_calls: int) -> AsyncIterator[Worker]:
    """A worker that is asking for calls."""
    monkeypatch.setattr(module, "CallRunner", Talk)
    monkeypatch.setattr(module, "GOODBYE_SECONDS", 0.0)
    tools: Any = SimpleNamespace(lease=timedelta(seconds=30))
    database: Any = None
    worker = Worker(database, tools, [claimer], owner="w", max_calls=max_calls)  # type: ignore[list-item] # the test's
    async with running(worker._claim_forever(), "claims"):
        await claimer.asked.wait()
        yield worker
    await worker.stop()


async def test_a_claim_under_way_is_waited_for(monkeypatch: Any) -> None:
    claimer = Claimer()
    async with claiming(monkeypatch, claimer, 2) as worker:
        asking = asyncio.create_task(worker.reserve_between_claims())
        await asyncio.sleep(0)
        assert not asking.done()
        claimer.may_answer.set()
        assert await asking is False
        assert len(worker._live) == 2


async def test_scenarios_leave_the_places_that_a_claim_under_way_fills(monkeypatch: Any) -> None:
    """They took them too, and the worker had more at once than it may."""
    taken: list[int] = []

    async def take(_db: object, _owner: str, _lease: timedelta, places: int) -> list[Any]:
        taken.append(places)
        return []

    async def play(*_: object) -> Any: ...

    monkeypatch.setattr(repository, "take", take)
    claimer = Claimer()
    database: Any = None
    async with claiming(monkeypatch, claimer, 3) as worker:
        taking = asyncio.create_task(ScenarioPlayer(database, play, worker, owner="w", at_once=2)._keep())
        await asyncio.sleep(0)
        claimer.may_answer.set()
        await taking
    assert taken == []


async def test_a_claim_that_hangs_is_not_waited_for_long(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "RESERVE_TIMEOUT_SECONDS", 0.01)
    async with claiming(monkeypatch, Claimer(), 2) as worker:
        assert await worker.reserve_between_claims() is False


async def test_a_drain_waits_for_calls_that_are_being_claimed(monkeypatch: Any) -> None:
    """It was over before they began: they were dialled by a process that went away."""
    claimer = Claimer()
    async with claiming(monkeypatch, claimer, 2) as worker, asyncio.timeout(5):
        draining = asyncio.create_task(worker.drain())
        await asyncio.sleep(0)
        claimer.may_answer.set()
        done, _ = await asyncio.wait({draining}, timeout=0.1)
        assert (len(worker._live), done) == (2, set())
        for _fence, _runner, task in worker._live.values():
            task.cancel()
        await draining


async def test_a_drain_waits_for_a_call_that_comes_in(monkeypatch: Any) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 60)
    tools: Any = SimpleNamespace(lease=timedelta(seconds=30))
    database: Any = None
    worker = Worker(database, tools, [], owner="w", max_calls=2)
    async with asyncio.timeout(5):
        assert await worker.reserve_between_claims() is True
        draining = asyncio.create_task(worker.drain())
        done, _ = await asyncio.wait({draining}, timeout=0.1)
        assert done == set()
        worker.unreserve()
        await draining


class BrokenClaimer(Claimer):
    """Meets something that nobody has thought of, once."""

    async def claim(self, limit: int) -> list[Any]:
        if not self.asked.is_set():
            self.asked.set()
            raise ValueError("an unknown status")
        return await super().claim(limit)


async def test_a_claim_that_breaks_ends_neither_the_worker_nor_its_live_calls(monkeypatch: Any) -> None:
    """It ended the task group that renews the leases, so that other processes ended calls in mid-sentence."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    claimer = BrokenClaimer()
    claimer.may_answer.set()
    async with claiming(monkeypatch, claimer, 2) as worker, asyncio.timeout(5):
        while len(worker._live) < 2:  # noqa: ASYNC110 - a worker tells nobody
            await asyncio.sleep(0.01)


async def test_a_draining_worker_has_no_place(monkeypatch: Any) -> None:
    claimer = Claimer()
    tools: Any = SimpleNamespace(lease=timedelta(seconds=30))
    database: Any = None
    worker = Worker(database, tools, [claimer], owner="w", max_calls=2)  # type: ignore[list-item] # the test's
    assert await worker.reserve_between_claims() is True
    worker.unreserve()
    await worker.drain()
    assert await worker.reserve_between_claims() is False
