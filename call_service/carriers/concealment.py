"""Waveforms for time that has no packets, and for time that has too many.

A gap repeats the last pitch periods and fades, after ITU-T G.711 Appendix I; a surplus is cut out by whole pitch
periods. Both blend over the seam, so that neither clicks. All PCM is int16 mono at 8 kHz.
"""

from array import array

from call_service.carriers.g711 import SAMPLE_BYTES, best_fit, scale
from call_service.carriers.port import FRAME_SAMPLES

HISTORY = 480
PATTERN = 80
SHORTEST_PERIOD = 40
SEAM = 40
CONSTANT = 80
FADED = 480
GAIN_STEP = 20
SHORTEN_NEEDS = 2 * FRAME_SAMPLES


class Concealer:
    """Takes what is real and makes up what is missing, in the order of play."""

    def __init__(self) -> None:
        self.concealed = 0
        self._history = bytes(HISTORY * SAMPLE_BYTES)
        self._period = b""
        self._missing = 0

    def real(self, pcm: bytes) -> bytes:
        """Pass PCM that arrived; its start is blended when something was made up before it."""
        if self._missing:
            made_up = self._continue(min(SEAM, len(pcm) // SAMPLE_BYTES))
            pcm = blend(made_up, pcm) + pcm[len(made_up) :]
            self._missing = 0
        self._remember(pcm)
        return pcm

    def missing(self, samples: int) -> bytes:
        """Make up `samples` of PCM; silence from 60 ms on. `concealed` counts what came before the silence."""
        if not self._missing:
            self._period = self._last_period()
        self.concealed += min(samples, max(0, FADED - self._missing))
        pcm = self._continue(samples)
        self._missing += samples
        self._remember(pcm)
        return pcm

    def _remember(self, pcm: bytes) -> None:
        self._history = (self._history + pcm)[-HISTORY * SAMPLE_BYTES :]

    def _last_period(self) -> bytes:
        pattern = self._history[-PATTERN * SAMPLE_BYTES :]
        searched = self._history[: -SHORTEST_PERIOD * SAMPLE_BYTES]
        return self._history[(best_fit(searched, pattern) + PATTERN) * SAMPLE_BYTES :]

    def _continue(self, samples: int) -> bytes:
        if self._missing >= FADED:
            return bytes(samples * SAMPLE_BYTES)
        start = self._missing * SAMPLE_BYTES % len(self._period)
        end = start + samples * SAMPLE_BYTES
        pcm = (self._period * (end // len(self._period) + 1))[start:end]
        step = GAIN_STEP * SAMPLE_BYTES
        return b"".join(
            scale(pcm[at : at + step], _gain(self._missing + at // SAMPLE_BYTES)) for at in range(0, len(pcm), step)
        )


def shorten(pcm: bytes, at_most: int) -> tuple[bytes, int]:
    """One frame out of the two in `pcm`, and how many samples were cut out: from 40 to `at_most`, 160 at the most.

    The frame ends where sample `160 + cut` goes on.
    """
    pattern = pcm[: PATTERN * SAMPLE_BYTES]
    longest = min(at_most, FRAME_SAMPLES) + PATTERN
    cut = SHORTEST_PERIOD + best_fit(pcm[SHORTEST_PERIOD * SAMPLE_BYTES : longest * SAMPLE_BYTES], pattern)
    rest = pcm[cut * SAMPLE_BYTES : (cut + FRAME_SAMPLES) * SAMPLE_BYTES]
    return blend(pattern, rest) + rest[len(pattern) :], cut


def blend(fading: bytes, rising: bytes) -> bytes:
    """From one piece into another over the length of the first."""
    old, new = array("h", fading), array("h", rising[: len(fading)])
    length = len(old)
    mixed = ((a * (length - at) + b * at) // length for at, (a, b) in enumerate(zip(old, new, strict=True)))
    return array("h", mixed).tobytes()


def _gain(samples: int) -> float:
    """20 % less every 10 ms, after the first 10 ms."""
    return max(0.0, 1 - max(0, samples - CONSTANT) / (FADED - CONSTANT))
