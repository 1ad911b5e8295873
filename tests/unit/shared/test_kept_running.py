"""Background work that is started again when it crashes, and the readiness of the process meanwhile."""

import asyncio

import pytest

from shared import background
from shared.background import Kept, kept_running
from shared.errors import UnavailableError
from shared.health import Health
from shared.testing.waiting import eventually


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "backoff_seconds", lambda failures: failures / 1000)


class Work:
    """Crashes so many times, then goes on."""

    def __init__(self, crashes: int) -> None:
        self.crashes = crashes
        self.runs = 0
        self.crashed_again = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        if self.runs <= self.crashes:
            raise ValueError(self.runs)
        await self.crashed_again.wait()
        raise ValueError


async def test_work_that_crashed_runs_again_and_the_process_is_ready_once_it_is_steady() -> None:
    work, health = Work(crashes=3), Health()
    async with kept_running(work.run, "some work", health):
        await eventually(lambda: work.runs == 4)
        assert await health.check() == {"some_work": "UnavailableError"}


async def test_a_steady_run_forgives_what_was_before_it_and_a_new_crash_counts_again() -> None:
    work = Work(crashes=2)
    kept = Kept(work.run, "some work", steady_seconds=0.01)
    task = asyncio.create_task(kept.run())

    async def is_ready() -> bool:
        try:
            await kept.ping()
        except UnavailableError:
            return False
        return work.runs == 3

    await eventually(is_ready)
    work.crashed_again.set()
    await eventually(lambda: work.runs > 3)
    with pytest.raises(UnavailableError):
        await kept.ping()
    task.cancel()


async def test_the_end_of_the_block_ends_the_work() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    health = Health()
    async with kept_running(work, "some work", health):
        assert await health.check() == {"some_work": "ok"}
    assert ended.is_set()
