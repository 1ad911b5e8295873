"""Levels of what callees say, and the sounds that are not speech."""

from itertools import islice, pairwise
from random import Random

import pytest

from call_service.carriers import g711
from call_service.carriers.simulated.sound import SPEECH_RMS, Noise, at_speech_level, tone
from call_service.carriers.simulated.speaker import Speaker

LOUD = b"\x00\x40\x00\xc0" * 800


def test_speech_has_one_level_whatever_the_engine_gives() -> None:
    assert g711.rms(at_speech_level(LOUD)) == pytest.approx(SPEECH_RMS, rel=0.01)
    assert g711.rms(at_speech_level(g711.scale(LOUD, 0.02))) == pytest.approx(SPEECH_RMS, rel=0.02)
    assert at_speech_level(bytes(320)) == bytes(320)


def test_a_tone_has_the_length_the_pitch_and_the_level_asked_for() -> None:
    samples = memoryview(tone(1_000, 400)).cast("h")
    crossings = sum(before < 0 <= after for before, after in pairwise(samples))
    assert len(samples) == 3_200
    assert crossings == pytest.approx(400, abs=1)
    assert g711.rms(bytes(samples.cast("B"))) == pytest.approx(SPEECH_RMS, rel=0.02)


def test_noise_is_endless_at_its_level_and_different_in_every_call() -> None:
    noise = Noise(Random(7))
    one, other = (b"".join(islice(noise.frames(20), 300)) for _ in range(2))
    assert len(one) == 300 * 320
    assert g711.rms(one) == pytest.approx(SPEECH_RMS / 10, rel=0.05)
    assert one != other


async def test_a_line_is_spoken_sentence_by_sentence_and_ends_with_its_last_word() -> None:
    asked = list[tuple[str, str]]()

    class Engine:
        async def synthesize(self, text: str, voice_id: str) -> bytes:
            asked.append((text, voice_id))
            return LOUD + bytes(1_000)

    speaker = Speaker(Engine(), "anna")
    line = await speaker.speak("Yes, hi. Is it you?")
    assert asked == [("Yes, hi.", "anna"), ("Is it you?", "anna")]
    assert len(line) == 2 * len(LOUD) + 1_000
    assert await speaker.speak(None) == b""
