"""Beeps and greetings of answering machines, and what only resembles them."""

import numpy as np
import pytest

from call_service.voice.amd import BeepDetector, sounds_like_voicemail

RATE = 8000
Samples = np.ndarray[tuple[int], np.dtype[np.float64]]


def tone(*frequencies: float, ms: int, level: float = 0.2) -> Samples:
    time = np.arange(RATE * ms // 1000) / RATE
    samples: Samples = level * np.mean([np.sin(2 * np.pi * frequency * time) for frequency in frequencies], axis=0)
    return samples


def beeps(samples: Samples, noise: float = 0.0) -> list[int]:
    """Milliseconds at which the end of a beep was found."""
    quiet = np.zeros(RATE // 2)
    samples = np.concatenate([quiet, samples, quiet])
    samples = samples + np.random.default_rng(1).normal(0, noise, len(samples))
    pcm = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    detector = BeepDetector()
    return [at // 16 for at in range(0, len(pcm) - 319, 320) if detector.feed(pcm[at : at + 320])]


@pytest.mark.parametrize("frequency", [440, 697, 1000, 1400, 1633, 2000])
@pytest.mark.parametrize("ms", [220, 500, 1200])
@pytest.mark.parametrize("noise", [0.0, 0.005])
def test_a_beep_is_found_once_at_its_end(frequency: float, ms: int, noise: float) -> None:
    (found,) = beeps(tone(frequency, ms=ms), noise)
    assert 500 + ms - 20 <= found <= 500 + ms + 60


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(tone(440, 480, ms=2000), id="ringback"),
        pytest.param(tone(770, 1336, ms=300), id="key"),
        pytest.param(tone(1000, ms=60), id="click"),
        pytest.param(tone(1000, ms=500, level=0.001), id="too quiet"),
        pytest.param(tone(120, 240, 360, 480, 600, 720, ms=800), id="vowel"),
        pytest.param(np.random.default_rng(2).normal(0, 0.2, RATE * 2), id="noise"),
        pytest.param(np.concatenate([tone(f, ms=40) for f in range(500, 1500, 110)]), id="melody"),
    ],
)
def test_other_sounds_are_not_beeps(sound: Samples) -> None:
    assert beeps(sound) == []


@pytest.mark.parametrize(
    "greeting",
    [
        "Hi, this is Anna. Please leave a message after the tone.",
        "Your call has been forwarded to an automated voice messaging system.",
        "At the beep, record your name and number.",
        "You've reached Tom. I can't take your call right now, I'll get back to you as soon as I can.",
        "The mailbox is full.",
        "I can\u2019t come to the phone right now.",
        "Welcome to the voice mail of five five five, zero one two three.",
    ],
)
def test_greetings_of_machines(greeting: str) -> None:
    assert sounds_like_voicemail(greeting)


@pytest.mark.parametrize(
    "words",
    [
        "Hello?",
        "He is not available right now. Would you like to leave a message?",
        "I can call you back as soon as my meeting is over.",
        "You have reached the right person.",
        "Who is calling, please? Please state your name and why you are calling.",
        "Tuesday at three, after the meeting.",
        "",
    ],
)
def test_people_are_not_machines(words: str) -> None:
    assert not sounds_like_voicemail(words)
