"""Engines that understand and say nothing, at no cost: for benchmarks and tests of everything around them."""

from array import array
from collections.abc import Iterable
from itertools import cycle
from math import pi, sin

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.synthesis import InOnePiece

SPEECH_LEVEL = 500
MS_PER_WORD = 330


class NullRecognizer:
    """A `Recognizer` that hears `texts` in turn, whatever was said."""

    def __init__(self, texts: Iterable[str] = ("Yes, please.",)) -> None:
        self._texts = cycle(texts)

    @property
    def is_busy(self) -> bool:
        """Never."""
        return False

    async def recognize(self, pcm: bytes) -> str:  # noqa: ARG002 # the port has it
        """The next text."""
        return next(self._texts)


class NullSynthesizer(InOnePiece):
    """A `Synthesizer` that hums as long as the sentence would take to say."""

    def __init__(self) -> None:
        wave = (round(3000 * sin(2 * pi * 220 * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE))
        self._second = array("h", wave).tobytes()

    async def synthesize(self, text: str, voice_id: str) -> bytes:  # noqa: ARG002 # the port has it
        """A tone of 220 Hz, a third of a second for each word."""
        size = 2 * SAMPLE_RATE * MS_PER_WORD * len(text.split()) // 1000
        size -= size % 2
        return (self._second * (size // len(self._second) + 1))[:size]


class LevelActivity:
    """A `VoiceActivity` that takes everything loud for speech."""

    def feed(self, pcm: bytes) -> float:
        """1.0 for a frame with a sample above the speech level, else 0.0."""
        return float(max(array("h", pcm), default=0) > SPEECH_LEVEL)
