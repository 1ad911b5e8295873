"""Looks into a recording: is there speech on both sides?"""

import array
import io
import wave
from dataclasses import dataclass

AUDIBLE = 200  # root mean square of 16-bit samples in a 20 ms frame; speech is ten times louder
FRAME = 160


@dataclass(frozen=True, slots=True)
class Heard:
    """Seconds in all, and seconds with sound on each channel: the other party left, the agent right."""

    seconds: float
    other_seconds: float
    agent_seconds: float


def listen(wav: bytes) -> Heard:
    """Measure a stereo WAV of 16-bit samples at 8 kHz.

    Raises:
        ValueError: it is something else.
    """
    try:
        with wave.open(io.BytesIO(wav)) as file:
            if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (2, 2, 8000):
                raise ValueError("not 16-bit stereo at 8 kHz")
            samples = array.array("h", file.readframes(file.getnframes()))
    except (wave.Error, EOFError) as error:
        raise ValueError(f"not a WAV file: {error}") from error
    return Heard(len(samples) / 16000, _audible(samples[0::2]), _audible(samples[1::2]))


def _audible(samples: "array.array[int]") -> float:
    frames = (samples[start : start + FRAME] for start in range(0, len(samples), FRAME))
    return sum(sum(value * value for value in frame) > AUDIBLE**2 * len(frame) for frame in frames) * FRAME / 8000
