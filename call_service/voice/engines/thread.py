"""The thread of an engine: inference is off the event loop, in order, bounded and timed out."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Literal, TypeVar

from call_service.voice.ports import EngineError

T = TypeVar("T")


class EngineThread:
    """Runs the jobs of an engine one after the other, in their order.

    A caller that gives up (cancelled, timed out) takes its queued job with it, so dropped guesses cost nothing.
    """

    def __init__(self, stage: Literal["stt", "tts"], *, max_waiting: int, time_out: timedelta) -> None:
        self._stage = stage
        self._max_waiting = max_waiting
        self._time_out = time_out
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"engine-{stage}")
        self._waiting = 0

    @property
    def is_busy(self) -> bool:
        """Is a job running or waiting?"""
        return self._waiting > 0

    @property
    def waiting(self) -> int:
        """How many jobs run or wait."""
        return self._waiting

    async def run(self, job: Callable[[], T]) -> T:
        """The result of `job`.

        Raises:
            EngineError: the job failed, too many jobs are waiting, or the time-out passed.
        """
        if self._waiting >= self._max_waiting:
            raise EngineError(self._stage, f"{self._waiting} jobs are waiting already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._time_out.total_seconds()):
                return await asyncio.wrap_future(self._executor.submit(job))
        except EngineError:
            raise
        except TimeoutError as error:
            raise EngineError(self._stage, f"no result after {self._time_out.total_seconds():g} s") from error
        except Exception as error:
            raise EngineError(self._stage, f"{type(error).__name__}: {error}") from error
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what waits and let the thread end after its current job."""
        self._executor.shutdown(wait=False, cancel_futures=True)
