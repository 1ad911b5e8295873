"""What the telephones of the benchmark have in common: their command line, and how they report.

`python -m tests.bench.peers.<phone> answer|talk|dial OTHER_PORT [CALLS PER_SECOND]`: `answer` takes calls, `talk` plays
audio into them as well, `dial` makes them once it is told to by a line of input. Reports are lines of JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

LOOPBACK = "127.0.0.1"
CALLEE = "+12025550100"
CALLER = "+12025550199"
PLAY_SECONDS = 110
LATEST_SECONDS = 10.0

HangUp = Callable[[], Awaitable[object]]


def say(**report: Any) -> None:
    """Print a report."""
    print(json.dumps(report), flush=True)


async def asked() -> bool:
    """Wait for a line of input; False at its end."""
    return bool(await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline))


async def dial_all(dial: Callable[[int], Awaitable[HangUp]], calls: int, per_second: int) -> dict[str, Any]:
    """Make calls at an even pace; `dial` returns once its call was answered, with what hangs up."""
    setups: list[float] = []

    async def one(number: int) -> None:
        began = time.perf_counter()
        async with asyncio.timeout(LATEST_SECONDS):
            hang_up = await dial(number)
            setups.append(time.perf_counter() - began)
            await hang_up()

    began = time.perf_counter()
    tasks = []
    for number in range(calls):
        tasks.append(asyncio.create_task(one(number)))
        await asyncio.sleep(max(0.0, began + (number + 1) / per_second - time.perf_counter()))
    failed = [error for error in await asyncio.gather(*tasks, return_exceptions=True) if error]
    why = f"{type(failed[0]).__name__}: {failed[0]}" if failed else ""
    return {"seconds": time.perf_counter() - began, "setups": setups, "failed": len(failed), "why": why}
