"""Recognition by Moonshine tiny-en, of several calls at once on as many threads as there are cores, up to two."""

import os
from collections.abc import Callable
from datetime import timedelta

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.engines.moonshine_model import MODEL_HZ, MoonshineModel
from call_service.voice.engines.pcm import to_float
from call_service.voice.engines.thread import EngineThread

# What the model writes for a second of silence; for noise it writes signs and notes.
GHOSTS = frozenset({"you", "you."})
# A guess is made in the second half of the wait, 120 ms at least: behind more than so many it would come too late.
MAX_AHEAD = 2  # of each thread
THREADS = min(2, os.cpu_count() or 1)


class MoonshineRecognizer:
    """A `Recognizer`. Loading takes a quarter of a second: construct it off the event loop."""

    def __init__(self, *, max_waiting: int = 64, time_out: timedelta = timedelta(seconds=8)) -> None:
        self._model = MoonshineModel()
        self._thread = EngineThread("stt", max_waiting=max_waiting, time_out=time_out, threads=THREADS)

    @property
    def is_busy(self) -> bool:
        """Would a guess wait long for others?"""
        return self._thread.waiting > MAX_AHEAD * THREADS

    async def recognize(self, pcm: bytes) -> str:
        """Text of one utterance cut by voice activity; empty when nothing was understood.

        Raises:
            EngineError: stage `stt`.
        """
        is_over = False
        try:
            return await self._thread.run(lambda: self._recognize(pcm, lambda: not is_over))
        finally:
            is_over = True  # a guess that was dropped stops at its next token

    def _recognize(self, pcm: bytes, is_wanted: Callable[[], bool]) -> str:
        text = self._model.text(to_float(pcm, SAMPLE_RATE, MODEL_HZ), is_wanted)
        return text if text.lower() not in GHOSTS and any(map(str.isalnum, text)) else ""

    def close(self) -> None:
        """Stop the threads; the model is freed with the object."""
        self._thread.close()
