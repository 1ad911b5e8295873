"""What nobody needs a model for: the stretches of a line in which there is only its own noise."""

from math import sqrt

import numpy as np

from call_service.voice.engines.pcm import Floats

SILENCE = 24 / 32768  # root mean square of full scale, -63 dBFS
ABOVE_NOISE = 1.6  # 4 dB
# The noise is the quietest window of late: from -50 dBFS on, a louder one raises it by 1 dB a second, up to -40.
FIRST_NOISE = 104 / 32768
RISE = 1.004
LOUDEST_NOISE = 330 / 32768
# These are judged all the same, so that the end of a word is not cut off.
WINDOWS_AFTER_SOUND = 2


class QuietLine:
    """Fed with every window of a call, 32 ms each."""

    def __init__(self) -> None:
        self._noise = FIRST_NOISE
        self._quiet_windows = 0

    def is_quiet(self, window: Floats) -> bool:
        """Is `window`, [n] in -1..1, nothing but noise, as those before it?"""
        level = sqrt(float(np.dot(window, window)) / len(window))
        self._noise = min(max(level, SILENCE / ABOVE_NOISE), self._noise * RISE, LOUDEST_NOISE)
        self._quiet_windows = self._quiet_windows + 1 if level < ABOVE_NOISE * self._noise else 0
        return self._quiet_windows > WINDOWS_AFTER_SOUND
