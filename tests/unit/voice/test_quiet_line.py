"""Telling the noise of a line from what may be a voice."""

import numpy as np

from call_service.voice.engines.pcm import Floats
from call_service.voice.engines.quiet import WINDOWS_AFTER_SOUND, QuietLine

WINDOW = 256
WINDOWS_A_SECOND = 8000 // WINDOW
RANDOM = np.random.default_rng(7)


def noise(dbfs: float) -> Floats:
    return (RANDOM.normal(0, 10 ** (dbfs / 20), WINDOW)).astype(np.float32)


def quiet_share(line: QuietLine, dbfs: float, seconds: float) -> float:
    windows = round(seconds * WINDOWS_A_SECOND)
    return sum(line.is_quiet(noise(dbfs)) for _ in range(windows)) / windows


def test_digital_silence_is_quiet_at_once() -> None:
    line = QuietLine()
    judged = [line.is_quiet(np.zeros(WINDOW, np.float32)) for _ in range(WINDOWS_AFTER_SOUND + 1)]
    assert judged == [False] * WINDOWS_AFTER_SOUND + [True]


def test_steady_noise_is_learned_and_then_quiet() -> None:
    line = QuietLine()
    assert quiet_share(line, -43, 1) == 0
    quiet_share(line, -43, 10)
    assert quiet_share(line, -43, 5) == 1


def test_a_voice_above_the_noise_is_not_quiet_however_long_it_lasts() -> None:
    line = QuietLine()
    quiet_share(line, -60, 10)
    syllables = [share for _ in range(30) for share in (quiet_share(line, -30, 0.3), quiet_share(line, -55, 0.064))]
    assert max(syllables) == 0


def test_the_windows_after_a_sound_are_judged_by_the_model() -> None:
    line = QuietLine()
    quiet_share(line, -70, 2)
    assert not line.is_quiet(noise(-25))
    judged = [line.is_quiet(noise(-70)) for _ in range(WINDOWS_AFTER_SOUND + 2)]
    assert judged == [False] * WINDOWS_AFTER_SOUND + [True] * 2


def test_what_is_louder_than_a_line_may_be_is_never_taken_for_noise() -> None:
    line = QuietLine()
    assert quiet_share(line, -30, 120) == 0


def test_a_line_that_got_quieter_is_known_at_once() -> None:
    line = QuietLine()
    quiet_share(line, -45, 30)
    quiet_share(line, -65, 0.2)
    assert not line.is_quiet(noise(-45))
