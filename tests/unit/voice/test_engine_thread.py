"""The thread of an engine: one job at a time, bounded, and gone with its caller."""

import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from call_service.voice.engines.thread import EngineThread
from call_service.voice.ports import EngineError


@pytest.fixture
def engine() -> Iterator[EngineThread]:
    thread = EngineThread("stt", max_waiting=3, time_out=timedelta(seconds=5))
    yield thread
    thread.close()


async def test_jobs_run_in_order_in_one_thread(engine: EngineThread) -> None:
    names = await asyncio.gather(*(engine.run(lambda: threading.current_thread().name) for _ in range(3)))
    assert names == ["engine-stt_0"] * 3


async def test_a_failure_is_an_engine_error(engine: EngineThread) -> None:
    with pytest.raises(EngineError, match="ZeroDivisionError") as caught:
        await engine.run(lambda: 1 / 0)
    assert caught.value.stage == "stt"


async def test_the_queue_is_bounded_and_drops_jobs_of_callers_that_gave_up(engine: EngineThread) -> None:
    release, ran = threading.Event(), []
    try:
        blocked = asyncio.create_task(engine.run(release.wait))
        queued = [asyncio.create_task(engine.run(lambda: ran.append(1))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="waiting"):
            await engine.run(lambda: None)
        queued[0].cancel()
        await asyncio.sleep(0)
    finally:
        release.set()
    assert await blocked
    await queued[1]
    assert ran == [1]


async def test_a_hanging_engine_times_out() -> None:
    engine, release = EngineThread("tts", max_waiting=3, time_out=timedelta(milliseconds=20)), threading.Event()
    try:
        with pytest.raises(EngineError, match="no result") as caught:
            await engine.run(release.wait)
        assert caught.value.stage == "tts"
    finally:
        release.set()
        engine.close()
