"""Recognition by moonshine-voice 0.1.0 tiny-en (MIT), the last version whose wheel holds its weights.

Measured on an utterance of 3-5 s: 72 ms alone on a core. The library is not thread-safe (concurrent calls return
garbage), hence one thread.
"""

import ctypes
from datetime import timedelta

from moonshine_voice.errors import check_error
from moonshine_voice.moonshine_api import ModelArch, TranscriptC
from moonshine_voice.transcriber import Transcriber
from moonshine_voice.utils import get_model_path

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.engines.pcm import Floats, to_float
from call_service.voice.engines.thread import EngineThread

MODEL_HZ = 16_000
# Its own voice activity detection is switched off: on speech that is cut already it adds ghosts ("You", "?", "T").
OPTIONS = {"return_audio_data": "false", "vad_threshold": "0"}
# What the model writes for a second of silence or noise.
GHOSTS = frozenset({"you", "you.", "?", "."})


class _Transcriber(Transcriber):  # type: ignore[misc] # the package has no types
    """Takes numpy memory as it is: the base class converts lists, which costs 20 ms an utterance."""

    def text(self, samples: Floats) -> str:
        transcript = ctypes.POINTER(TranscriptC)()
        pointer = samples.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        check_error(
            self._lib.moonshine_transcribe_without_streaming(
                self._handle, pointer, len(samples), MODEL_HZ, 0, ctypes.byref(transcript)
            )
        )
        lines = transcript.contents.lines[: transcript.contents.line_count]
        return " ".join(ctypes.string_at(line.text).decode(errors="ignore").strip() for line in lines)


class MoonshineRecognizer:
    """A `Recognizer`. Loading takes about half a second: construct it off the event loop."""

    def __init__(self, *, max_waiting: int = 64, time_out: timedelta = timedelta(seconds=8)) -> None:
        self._transcriber = _Transcriber(str(get_model_path("tiny-en")), ModelArch.TINY, options=OPTIONS)
        self._thread = EngineThread("stt", max_waiting=max_waiting, time_out=time_out)

    @property
    def is_busy(self) -> bool:
        """Would a request wait for others?"""
        return self._thread.is_busy

    async def recognize(self, pcm: bytes) -> str:
        """Text of one utterance cut by voice activity; empty when nothing was understood.

        Raises:
            EngineError: stage `stt`.
        """
        return await self._thread.run(lambda: self._recognize(pcm))

    def _recognize(self, pcm: bytes) -> str:
        text: str = self._transcriber.text(to_float(pcm, SAMPLE_RATE, MODEL_HZ)).strip()
        return "" if text.lower() in GHOSTS else text

    def close(self) -> None:
        """Stop the thread; the model is freed with the object."""
        self._thread.close()
