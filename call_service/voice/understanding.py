"""From an utterance that is being recognised to its text, whatever the recognition does."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from call_service.voice.listening import Utterance
from call_service.voice.options import SessionOptions, TurnTimings
from call_service.voice.ports import EngineError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# Says something into the silence, where there is something to say.
Fill = Callable[[], Awaitable[bool]]  # whether it did


class Understanding:
    """One call's. The callee is not left in silence until it `is_ending`."""

    def __init__(self, options: SessionOptions, now_ms: Callable[[], int], is_ending: Callable[[], bool]) -> None:
        self._limit = options.engine_timeout
        self._filler_after = options.filler_after
        self._now_ms = now_ms
        self._is_ending = is_ending
        self._misheard: Utterance | None = None  # the last one, when its recognition failed

    async def of(self, utterance: Utterance, fill: Fill | None = None) -> tuple[str | None, TurnTimings]:
        """The text; empty for noise, None when recognition failed once. `fill` is given when the callee waits.

        Of the same utterance it may be asked again: a recognition that failed counts once, and one that is late goes
        on meanwhile.

        Raises:
            EngineError: two in a row failed.
        """
        try:
            async with asyncio.timeout(self._limit.total_seconds()):
                if fill:
                    await self._fill_until(utterance, fill)
                await asyncio.wait({utterance.text})  # which cancels nothing when it is cancelled itself
            text = _result(utterance.text)
        except (EngineError, TimeoutError) as error:
            log.warning("recognition_failed", error=repr(error))
            if self._misheard and self._misheard is not utterance:
                raise EngineError("stt", "two recognitions in a row failed") from error
            self._misheard = utterance
            return None, TurnTimings()
        self._misheard = None
        decided_ms = utterance.decided_ms
        return text, TurnTimings(
            endpointing_ms=decided_ms - utterance.end_ms, recognition_ms=self._now_ms() - decided_ms
        )

    async def _fill_until(self, utterance: Utterance, fill: Fill) -> None:
        since_ms = utterance.end_ms
        while not utterance.text.done() and not self._is_ending():
            patience = self._filler_after - timedelta(milliseconds=self._now_ms() - since_ms)
            await asyncio.wait({utterance.text}, timeout=max(0.02, patience.total_seconds()))
            if not utterance.text.done() and await fill():
                since_ms = self._now_ms()


def _result(recognition: asyncio.Task[str]) -> str:
    if recognition.cancelled():
        raise EngineError("stt", "dropped")
    return recognition.result()
