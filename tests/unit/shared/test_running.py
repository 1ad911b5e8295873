"""Work beside a block."""

import asyncio

import pytest

from shared.background import running


async def test_work_ends_with_its_block() -> None:
    async with running(asyncio.sleep(60), "work") as work:
        await asyncio.sleep(0)
        assert not work.done()
    assert work.cancelled()


async def test_a_crash_does_not_end_the_block() -> None:
    async def crash() -> None:
        raise ValueError

    async with running(crash(), "work") as work:
        await asyncio.wait([work])
    assert isinstance(work.exception(), ValueError)


async def test_a_cancellation_while_the_block_ends_is_not_lost() -> None:
    """It came to nothing once: a worker that had to stop waited 120 s for a call's retries."""
    is_ending, may_end = asyncio.Event(), asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            is_ending.set()
            await may_end.wait()

    async def block() -> None:
        async with running(slow_to_end(), "work"):
            await asyncio.sleep(0)

    task = asyncio.create_task(block())
    await is_ending.wait()
    task.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await task
