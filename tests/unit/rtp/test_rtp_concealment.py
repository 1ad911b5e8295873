"""What is heard in a gap, and where time is cut out."""

from array import array
from itertools import pairwise
from math import pi, sin

import pytest

from call_service.carriers import g711
from call_service.carriers.concealment import Concealer, blend, shorten
from call_service.carriers.port import FRAME_BYTES, SILENCE_FRAME


def tone(samples: int, hertz: float = 200, start: int = 0) -> bytes:
    return array("h", (round(8_000 * sin(2 * pi * hertz * n / 8_000)) for n in range(start, start + samples))).tobytes()


def largest_step(pcm: bytes) -> int:
    samples = array("h", pcm)
    return max(abs(b - a) for a, b in pairwise(samples))


def concealer_after(pcm: bytes) -> Concealer:
    concealer = Concealer()
    concealer.real(pcm)
    return concealer


def test_a_short_gap_goes_on_as_before() -> None:
    concealer = concealer_after(tone(800))
    made_up = array("h", concealer.missing(80))
    expected = array("h", tone(80, start=800))
    assert max(abs(a - b) for a, b in zip(made_up, expected, strict=True)) < 200


@pytest.mark.parametrize("hertz", [85, 120, 200, 330])
@pytest.mark.parametrize("gap", [160, 320])
def test_neither_end_of_a_gap_clicks(hertz: float, gap: int) -> None:
    concealer = concealer_after(tone(800, hertz))
    heard = tone(160, hertz, 640) + concealer.missing(gap) + concealer.real(tone(160, hertz, 800 + gap))
    assert largest_step(heard) < 2.2 * largest_step(tone(800, hertz))


def test_fades_to_silence_within_60_ms() -> None:
    concealer = concealer_after(tone(800))
    loudness = [g711.rms(concealer.missing(160)) for _ in range(5)]
    assert loudness == sorted(loudness, reverse=True)
    assert loudness[1] > 1_000
    assert loudness[3:] == [0, 0]
    assert concealer.concealed == 480


def test_speech_after_a_long_silence_fades_in() -> None:
    concealer = concealer_after(tone(800))
    for _ in range(10):
        concealer.missing(160)
    assert largest_step(SILENCE_FRAME + concealer.real(array("h", [8_000] * 160).tobytes())) < 500


def test_silence_stays_silence() -> None:
    concealer = Concealer()
    assert concealer.missing(160) == SILENCE_FRAME
    assert concealer.real(SILENCE_FRAME) == SILENCE_FRAME


def test_real_audio_passes_untouched() -> None:
    concealer = Concealer()
    assert concealer.real(tone(160)) == tone(160)


@pytest.mark.parametrize("hertz", [85, 120, 200, 330])
def test_shortening_cuts_whole_periods(hertz: float) -> None:
    pcm = tone(480, hertz)
    frame, cut = shorten(pcm[: 2 * FRAME_BYTES], 160)
    assert len(frame) == FRAME_BYTES
    assert 40 <= cut <= 160
    assert largest_step(frame + pcm[(160 + cut) * 2 :]) < 1.5 * largest_step(pcm)


@pytest.mark.parametrize("at_most", [40, 60, 160, 900])
def test_shortening_keeps_to_the_limit(at_most: int) -> None:
    _, cut = shorten(tone(320, 50), at_most)
    assert 40 <= cut <= min(at_most, 160)


def test_shortening_silence_is_silence() -> None:
    assert shorten(SILENCE_FRAME * 2, 160)[0] == SILENCE_FRAME


def test_blending_begins_as_one_and_ends_as_the_other() -> None:
    mixed = array("h", blend(array("h", [1_000] * 40).tobytes(), array("h", [-1_000] * 60).tobytes()))
    assert (len(mixed), mixed[0], mixed[20], mixed[39]) == (40, 1_000, 0, -950)
