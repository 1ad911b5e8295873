"""Work that several ask for is done once, whatever becomes of those who asked."""

import asyncio
import gc
from typing import Any

import pytest

from shared.single_flight import SingleFlight


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.go_on = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        await self.go_on.wait()
        return self.begun


async def asked(flight: SingleFlight[str, int], work: Work, times: int = 3) -> list["asyncio.Task[int]"]:
    tasks = [asyncio.create_task(flight.run("key", work)) for _ in range(times)]
    await asyncio.sleep(0)
    return tasks


async def test_those_who_ask_together_get_one_answer_and_the_next_one_asks_anew() -> None:
    flight, work = SingleFlight[str, int](), Work()
    tasks = await asked(flight, work)
    work.go_on.set()
    assert await asyncio.gather(*tasks) == [1, 1, 1]
    assert await flight.run("key", work) == 2
    assert await flight.run("other", work) == 3


async def test_one_who_goes_away_takes_nothing_from_the_others() -> None:
    flight, work = SingleFlight[str, int](), Work()
    first, second, _third = await asked(flight, work)
    first.cancel()
    work.go_on.set()
    assert await second == 1
    assert first.cancelled()


async def test_an_error_reaches_all_who_wait_and_is_no_noise_when_nobody_does() -> None:
    flight, noise = SingleFlight[str, int](), list[Any]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: noise.append(context))

    async def fails() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await flight.run("key", fails)
    left = asyncio.create_task(flight.run("key", fails))
    await asyncio.sleep(0)
    left.cancel()
    for _ in range(4):
        await asyncio.sleep(0)
    gc.collect()
    assert noise == []


async def test_close_cancels_what_is_under_way() -> None:
    flight, work = SingleFlight[str, int](), Work()
    [task] = await asked(flight, work, times=1)
    await flight.close()
    with pytest.raises(asyncio.CancelledError):
        await task
