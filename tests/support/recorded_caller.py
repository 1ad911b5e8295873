"""A caller on tape: sentences of the local voice with silence between them."""

import wave
from collections.abc import Sequence
from pathlib import Path

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.engines.bundle import load_engines

VOICE = "heart-brisk"
SILENT_SECONDS = 120


async def record_caller(path: Path, lines: Sequence[tuple[float, str]]) -> None:
    """Write a WAV (8 kHz, mono) of `lines`, each after so many seconds of silence; two minutes of it are at the end."""
    engines = await load_engines()
    try:
        parts = [
            _silence(seconds) + await engines.synthesizer.synthesize(sentence, VOICE) for seconds, sentence in lines
        ]
    finally:
        engines.close()
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(b"".join(parts) + _silence(SILENT_SECONDS))


def _silence(seconds: float) -> bytes:
    return bytes(2 * int(seconds * SAMPLE_RATE))
