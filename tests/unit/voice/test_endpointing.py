"""Turns found in speech probabilities, in virtual time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.voice.endpointing import EndpointingOptions, Expects, TurnDetector, TurnEvent
from call_service.voice.patience import by_question, by_sentence, fixed

STARTED, PAUSED, RESUMED, ENDED = TurnEvent.STARTED, TurnEvent.PAUSED, TurnEvent.RESUMED, TurnEvent.ENDED


def events(detector: TurnDetector, *stretches: tuple[float, int]) -> list[tuple[int, TurnEvent]]:
    """What `(probability, ms)` stretches cause, with the time of each event."""
    found = []
    now_ms = 0
    for probability, ms in stretches:
        for _ in range(ms // 20):
            now_ms += 20
            if event := detector.feed(probability):
                found.append((now_ms, event))
    return found


@pytest.mark.parametrize(("expects", "wait"), [("yes_no", 300), ("open", 500), ("digits", 900)])
def test_the_wait_depends_on_the_question(expects: Expects, wait: int) -> None:
    detector = TurnDetector()
    detector.wait(by_question(EndpointingOptions(), expects, ""))
    assert events(detector, (0.9, 1000), (0.1, 1000)) == [
        (80, STARTED),
        (1000 + -(-wait * 6 // 10 // 20) * 20, PAUSED),
        (1000 + wait, ENDED),
    ]
    assert not detector.speaking
    assert detector.silence_ms == 1000


def test_a_pause_is_bridged() -> None:
    found = events(TurnDetector(), (0.9, 400), (0.0, 400), (0.9, 400), (0.0, 600))
    assert [event for _, event in found] == [STARTED, PAUSED, RESUMED, PAUSED, ENDED]


def test_clicks_are_not_speech_however_many() -> None:
    assert events(TurnDetector(), *[(0.9, 60), (0.0, 120)] * 20) == []


def test_a_wavering_voice_is_one_turn() -> None:
    found = events(TurnDetector(), (0.9, 100), *[(0.4, 100), (0.6, 20)] * 20, (0.3, 600))
    assert [event for _, event in found] == [STARTED, PAUSED, ENDED]


def test_murmur_below_the_upper_threshold_starts_nothing() -> None:
    assert events(TurnDetector(), (0.49, 5000)) == []


def test_an_endless_talker_is_cut() -> None:
    detector = TurnDetector(EndpointingOptions(max_turn_ms=2000))
    assert events(detector, (0.9, 4000)) == [(80, STARTED), (2000, ENDED), (2080, STARTED), (4000, ENDED)]


@given(st.lists(st.floats(0, 1), max_size=600))
def test_events_always_alternate(probabilities: list[float]) -> None:
    detector = TurnDetector()
    allowed: dict[TurnEvent | None, set[TurnEvent]] = {
        None: {STARTED},
        STARTED: {PAUSED, ENDED},
        PAUSED: {RESUMED, ENDED},
        RESUMED: {PAUSED, ENDED},
    }
    allowed[ENDED] = {STARTED}
    last: TurnEvent | None = None
    for probability in probabilities:
        event = detector.feed(probability)
        if event:
            assert event in allowed[last]
            last = event
        assert detector.speaking == (last not in {None, ENDED})
        assert detector.voiced_ms <= detector.turn_ms


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 40)), max_size=20))
def test_long_silence_always_leaves_it_idle(stretches: list[tuple[float, int]]) -> None:
    detector = TurnDetector()
    for probability, frames in stretches:
        for _ in range(frames):
            detector.feed(probability)
    for _ in range(60):
        detector.feed(0.0)
    assert (detector.speaking, detector.voiced_ms, detector.turn_ms) == (False, 0, 0)


@pytest.mark.parametrize(
    ("heard", "asked", "waits"),
    [
        ("", "open", (500, 500, 500)),
        ("Yes.", "yes_no", (500, 300, 300)),
        ("I need a table", "open", (500, 500, 500)),
        ("I need a table for", "open", (500, 500, 1100)),
        ("Well, um.", "open", (500, 500, 1100)),
        ("four one five", "open", (500, 900, 900)),
        ("four one five five five five zero one zero zero", "digits", (500, 900, 900)),
    ],
)
def test_strategies_wait_differently(heard: str, asked: Expects, waits: tuple[int, int, int]) -> None:
    options = EndpointingOptions()
    assert tuple(strategy(options, asked, heard) for strategy in (fixed, by_question, by_sentence)) == waits
