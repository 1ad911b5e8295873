"""A keeper and the program that it keeps running."""

import asyncio
import os
import signal
from pathlib import Path

from deploy.local.keeper import Keeper
from deploy.local.unit import Unit
from shared.testing.waiting import eventually


async def at_once() -> bool:
    return True


async def test_a_restart_that_fails_is_tried_again(tmp_path: Path) -> None:
    """A full disk at that moment ended the watch for ever."""
    said: list[str] = []
    failures = iter([None, OSError(28, "No space left on device"), None])

    def prepare() -> None:
        if error := next(failures):
            raise error

    unit = Unit(name="it", argv=["sleep", "600"], env=os.environ, ready=at_once, port=0, before_start=prepare)
    keeper = Keeper(unit, tmp_path / "it.log", said.append)
    await keeper.first_start()
    first = keeper.running.pid
    keeper.running.send(signal.SIGKILL)
    await eventually(lambda: keeper.running.pid != first)
    await keeper.close(asyncio.Event())
    assert "it could not be started again: [Errno 28] No space left on device" in said
    assert said[-1] == "it was started again"
    assert not keeper.running.is_alive
