"""Recognition by Moonshine tiny-en in one thread, which takes what waits together."""

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.engines.moonshine_model import MODEL_HZ, MoonshineModel
from call_service.voice.engines.pcm import to_float
from call_service.voice.engines.thread import EngineThread

# What the model writes for a second of silence; for noise it writes signs and notes.
GHOSTS = frozenset({"you", "you."})
# More would keep the first of them waiting for the last.
MAX_BATCH = 8


@dataclass(slots=True, eq=False)
class _Utterance:
    pcm: bytes
    is_wanted: bool = True
    text: str | None = None


class MoonshineRecognizer:
    """A `Recognizer`. Loading takes a quarter of a second: construct it off the event loop."""

    def __init__(self, *, max_waiting: int = 64, time_out: timedelta = timedelta(seconds=8)) -> None:
        self._model = MoonshineModel()
        self._thread = EngineThread("stt", max_waiting=max_waiting, time_out=time_out)
        self._waiting = OrderedDict[_Utterance, None]()

    @property
    def is_busy(self) -> bool:
        """Would a guess wait for more than two batches? It is made 120 ms or more before it is needed."""
        return self._thread.waiting > 2 * MAX_BATCH

    async def recognize(self, pcm: bytes) -> str:
        """Text of one utterance cut by voice activity; empty when nothing was understood.

        Raises:
            EngineError: stage `stt`.
        """
        utterance = _Utterance(pcm)
        self._waiting[utterance] = None
        try:
            return await self._thread.run(lambda: self._recognize(utterance))
        finally:
            utterance.is_wanted = False  # a guess that was dropped stops at its next token
            self._waiting.pop(utterance, None)

    def _recognize(self, utterance: _Utterance) -> str:
        """Its text, from a batch that begins with it, or from one before that had it already."""
        if utterance.text is None:
            self._waiting.pop(utterance, None)
            batch = [utterance]
            with suppress(KeyError):  # nobody else waits
                while len(batch) < MAX_BATCH:
                    batch.append(self._waiting.popitem(last=False)[0])
            sounds = [to_float(one.pcm, SAMPLE_RATE, MODEL_HZ) for one in batch]
            for one, text in zip(batch, self._model.texts(sounds, lambda place: batch[place].is_wanted), strict=True):
                one.text = text if text.lower() not in GHOSTS and any(map(str.isalnum, text)) else ""
        return utterance.text or ""

    def close(self) -> None:
        """Stop the thread; the model is freed with the object."""
        self._thread.close()
