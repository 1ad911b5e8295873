"""Sounds that are not speech, and the level of those that are. PCM is int16 mono at 8 kHz."""

import math
from array import array
from collections.abc import Iterator
from random import Random

from call_service.carriers import g711
from call_service.carriers.port import FRAME_BYTES, SAMPLE_RATE

# Speech on telephone lines lies around -20 to -26 dBov (ITU-T P.56 active level); beeps are as loud.
SPEECH_RMS = g711.FULL_SCALE * 10 ** (-23 / 20)
NOISE_SECONDS = 4


def tone(hz: float, ms: int) -> bytes:
    """A sine at the level of speech."""
    peak = SPEECH_RMS * math.sqrt(2)
    step = 2 * math.pi * hz / SAMPLE_RATE
    return array("h", (round(peak * math.sin(step * n)) for n in range(SAMPLE_RATE * ms // 1000))).tobytes()


def at_speech_level(pcm: bytes) -> bytes:
    """`pcm` brought to the level of speech on a telephone line; silence stays silence."""
    level = g711.rms(pcm)
    return g711.scale(pcm, SPEECH_RMS / level) if level else pcm


class Noise:
    """Seconds of brownish noise at the level of speech; every call starts elsewhere in the loop."""

    def __init__(self, random: Random) -> None:
        self.random = random
        value, samples = 0.0, array("h")
        for _ in range(SAMPLE_RATE * NOISE_SECONDS):
            value = 0.85 * value + random.gauss(0, 1000)
            samples.append(round(value))
        self._pcm = at_speech_level(samples.tobytes())

    def frames(self, below_speech_db: float) -> Iterator[bytes]:
        """Endless frames, so many dB below speech."""
        quiet = g711.scale(self._pcm, 10 ** (-below_speech_db / 20))
        frames = [quiet[at : at + FRAME_BYTES] for at in range(0, len(quiet), FRAME_BYTES)]
        at = self.random.randrange(len(frames))
        while True:
            yield frames[at]
            at = (at + 1) % len(frames)
