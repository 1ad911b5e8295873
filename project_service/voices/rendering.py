"""Renders one preview. Runs in a process of its own, because the engine is larger than this whole service.

Importing this module raises ImportError where the `speech` extra is not installed.
"""

import wave
from pathlib import Path

import hibari
import numpy as np
from hibari.voices import voice_path

from project_service.voices.catalogue import CatalogueEntry

TEXT = "Hello! Thank you for calling. How can I help you today?"


def render(voice: CatalogueEntry, path: Path) -> None:
    """Write the preview of `voice` as a mono 16-bit WAV at the engine's own rate (24 kHz).

    Raises:
        FileNotFoundError: the model of this voice is not installed; nothing is downloaded.
    """
    engine = hibari.Hibari(voice.model, model=voice_path(voice.model, download_missing=False))
    samples = engine(TEXT, speed=voice.speed)
    pcm = (np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hibari.SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
