"""Waiting for a condition with a limit, instead of sleeping for luck."""

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], bool | Awaitable[bool]], limit_seconds: float = 20) -> None:
    """Return once `condition` holds; asked every 10 ms.

    Raises:
        TimeoutError: it did not within `limit_seconds`.
    """
    limit = time.monotonic() + limit_seconds
    while True:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        if time.monotonic() > limit:
            raise TimeoutError(f"not true within {limit_seconds} s: {condition}")
        await asyncio.sleep(0.01)
