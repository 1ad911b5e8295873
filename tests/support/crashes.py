"""Ends a component at its n-th await, for every n: what it leaves behind is what its successor has to put right."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from typing import Any

from shared.db import Database
from shared.testing.waiting import eventually

Work = Callable[[Database], Coroutine[Any, Any, Any]]
Condition = Callable[[], Awaitable[bool]]

_MORTAL: ContextVar["Mortal | None"] = ContextVar("mortal", default=None)


class _Counted(Coroutine[Any, Any, Any]):
    """A coroutine that tells of each await that suspends it."""

    def __init__(self, work: Coroutine[Any, Any, Any], awaited: Callable[[], None]) -> None:
        self._work = work
        self._awaited = awaited

    def send(self, value: Any) -> Any:
        pending = self._work.send(value)
        self._awaited()
        return pending

    def throw(self, *error: Any) -> Any:
        pending = self._work.throw(*error)
        self._awaited()
        return pending

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:
        return self._work.__await__()


class Mortal:
    """A component: all tasks that come of its work, which end together at the await number `at`.

    `killed`, it is cut off from its database at that moment, with a statement on the way: whatever it still tries comes
    to nothing, as with a process that is gone. `cancelled`, it may clean up.
    """

    def __init__(self, db: Database, fault: str, at: float = math.inf) -> None:
        self._db = db
        self._is_killed = fault == "killed"
        self._left = at
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_dead(self) -> bool:
        return self._left <= 0

    async def live(self, work: Work, until: Condition) -> None:
        """Until it dies, or its work is done."""
        context = copy_context()
        context.run(_MORTAL.set, self)
        task = asyncio.create_task(_Counted(work(self._db), self._awaited), context=context)
        self._tasks.add(task)

        async def is_over() -> bool:
            return task.done() or await until()

        await eventually(is_over)
        if not self.is_dead:
            task.cancel()  # no more than that: asyncpg's own task that gives a connection back must not be cut
        await asyncio.wait(self._tasks)

    def adopt(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        task = asyncio.Task(_Counted(work, self._awaited), loop=loop, **options)
        if not self.is_dead:
            self._tasks.add(task)
        elif self._is_killed:
            task.cancel()
        return task

    def _awaited(self) -> None:
        self._left -= 1
        if self._left == 0:
            if self._is_killed:
                self._db._pool.terminate()
            self._end()

    def _end(self) -> None:
        for task in self._tasks:
            task.cancel()


@contextmanager
def _counting() -> Iterator[None]:
    def make_task(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> "asyncio.Task[Any]":
        mortal = _MORTAL.get()
        return mortal.adopt(loop, work, **options) if mortal else asyncio.Task(work, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(make_task)
    try:
        yield
    finally:
        loop.set_task_factory(None)


async def die_everywhere(
    connect: Callable[[], Awaitable[Database]],
    fault: str,
    *,
    prepare: Callable[[], Awaitable[None]],
    work: Work,
    recover: Callable[[], Awaitable[None]],
    is_done: Condition,
) -> int:
    """Do `prepare`, `work` until `is_done`, again and again, with a death one await later each time; how many deaths.

    After each death `recover` lets the time pass that others wait for, and a successor does the rest of the work.
    """
    deaths, successors = 0, await connect()
    with _counting():
        while True:
            await prepare()
            db = await connect()
            mortal = Mortal(db, fault, deaths + 1)
            await mortal.live(work, is_done)
            with suppress(Exception):
                await db.close(timeout_seconds=1)
            if not mortal.is_dead:
                break
            deaths += 1
            await recover()
            await Mortal(successors, fault).live(work, is_done)
    await successors.close()
    return deaths
