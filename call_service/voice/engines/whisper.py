"""Recognition by faster-whisper (MIT): many languages, slower than moonshine; an operator's model, by path or name."""

from datetime import timedelta

from faster_whisper import WhisperModel

from call_service.carriers.port import SAMPLE_RATE
from call_service.spoken.languages import primary_of
from call_service.voice.engines.pcm import to_float
from call_service.voice.engines.thread import EngineThread

MODEL_HZ = 16_000
THREADS = 2
# Whisper answers silence with what its subtitles were full of; such segments it is itself unsure of.
SURE_OF_SPEECH = 0.6


class WhisperEngine:
    """One model for all calls and languages; `of` a language is the recogniser of a call.

    A `model` that is no folder is a name that the package downloads, e.g. `base.en`.

    Raises:
        OSError, ValueError, RuntimeError: there is no such model, or it can't be loaded.
    """

    def __init__(self, model: str, *, time_out: timedelta = timedelta(seconds=8)) -> None:
        self._model = WhisperModel(model, device="cpu", compute_type="int8", cpu_threads=THREADS)
        self._thread = EngineThread("stt", max_waiting=64, time_out=time_out)

    def of(self, language: str) -> "WhisperOf":
        """`language` is BCP 47, e.g. `de-DE`."""
        return WhisperOf(self, primary_of(language) if self._model.model.is_multilingual else "en")

    @property
    def is_busy(self) -> bool:
        """Is it recognising for anybody?"""
        return self._thread.is_busy

    async def recognize(self, pcm: bytes, language: str) -> str:
        """Raises EngineError: stage `stt`."""
        return await self._thread.run(lambda: self._recognize(pcm, language))

    def _recognize(self, pcm: bytes, language: str) -> str:
        segments, _ = self._model.transcribe(
            to_float(pcm, SAMPLE_RATE, MODEL_HZ),
            language=language,
            beam_size=1,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return " ".join(one.text.strip() for one in segments if one.no_speech_prob < SURE_OF_SPEECH).strip()

    def close(self) -> None:
        """Stop the thread."""
        self._thread.close()


class WhisperOf:
    """The `Recognizer` of one language."""

    def __init__(self, engine: WhisperEngine, language: str) -> None:
        self._engine = engine
        self._language = language

    @property
    def is_busy(self) -> bool:
        """Would a request wait?"""
        return self._engine.is_busy

    async def recognize(self, pcm: bytes) -> str:
        """Raises EngineError: stage `stt`."""
        return await self._engine.recognize(pcm, self._language)
