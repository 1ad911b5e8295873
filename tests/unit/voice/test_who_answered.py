"""Who or what answered: words, timing and beeps, on a labelled set of calls; how verdicts replace each other."""

from collections import Counter
from statistics import mean

import pytest

from call_service.carriers.port import FRAME_MS
from call_service.voice.detection import GREETS_WITHIN_MS, Detector, asks_who_calls, by_words
from tests.support.greetings import Answerer, answerers, detect


def test_nearly_every_call_of_the_labelled_set_is_told_right() -> None:
    right: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for call in answerers():
        total[call.kind] += 1
        right[call.kind] += detect(call)[-1][1].kind == call.kind
    assert set(total) == {"human", "voicemail", "screening", "ivr", "unknown"}
    assert right.total() >= 0.88 * total.total()
    assert {kind: right[kind] / total[kind] for kind in total if right[kind] < 0.75 * total[kind]} == {}


def test_no_person_is_ever_surely_a_machine() -> None:
    for call in answerers():
        if call.kind == "human":
            assert [verdict for _, verdict in detect(call) if verdict.is_sure and verdict.kind != "human"] == []


def test_people_are_known_in_about_three_seconds_on_average() -> None:
    first = [detect(call)[0][0] for call in answerers() if call.kind == "human"]
    assert mean(first) <= 3_100


def test_without_words_short_greetings_are_people_and_long_ones_are_not() -> None:
    assert detect(Answerer("human", ("Hello?",)), understands=False)[-1][1].kind == "human"
    long = Answerer("voicemail", ("word " * 20,))
    verdict = detect(long, understands=False)[-1][1]
    assert (verdict.kind, verdict.by, verdict.is_sure) == ("voicemail", "timing", False)


def test_a_verdict_is_told_once_and_again_only_when_it_is_better() -> None:
    told = detect(Answerer("human", ("Hello?",), gap_ms=600))
    assert [(verdict.kind, verdict.is_sure) for _, verdict in told] in (
        [("human", True)],
        [("human", False), ("human", True)],
    )
    detector = Detector()
    assert detector.words("Hello?")
    assert detector.words("Hello?") is None


def test_after_a_screening_assistant_whoever_speaks_is_the_person() -> None:
    detector = Detector()
    asked = "Please state your name and the reason for your call."
    screened = detector.words(asked)
    assert screened
    assert screened.kind == "screening"
    assert detector.words("Thank you. Please stay on the line.") is None
    assert detector.words("") is None
    person = detector.words("Hello, this is Anna.")
    assert person
    assert person.kind == "human"
    assert detector.words("Yes, that is right.") is None
    assert detector.verdict == person


def test_a_screening_assistant_may_end_in_a_voicemail() -> None:
    detector = Detector()
    assert detector.words("Please say your name.")
    verdict = detector.words("Please leave a message after the tone.")
    assert verdict
    assert verdict.kind == "voicemail"


def test_what_comes_late_changes_nothing() -> None:
    detector = Detector()
    assert detector.words("Hello?")
    for _ in range(0, GREETS_WITHIN_MS + FRAME_MS, FRAME_MS):
        detector.tick(is_voiced=False)
    assert detector.machine("beep") is None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("May I ask who is calling?", "human"),
        ("He is not available right now. Would you like to leave a message?", None),
        ("I need to press charges, who is this?", "human"),
        ("What is the reason for your call?", "human"),
        ("Hello, could you say your name again, and why you are calling?", "human"),
        ("Please say your name and why you are calling.", "screening"),
        ("If you record your name and reason for calling, I will see if this person is available.", "screening"),
        ("For English, press 1.", "ivr"),
        ("", None),
    ],
)
def test_words(text: str, kind: str | None) -> None:
    verdict = by_words(text, text)
    assert (verdict.kind if verdict else None) == kind


def test_a_screening_assistant_asks() -> None:
    assert asks_who_calls("Go ahead and say your name, and why you\u2019re calling.")
    assert asks_who_calls("What is the reason for your call?")
    assert not asks_who_calls("Thank you. Please stay on the line.")


def test_an_assistant_that_asks_on_is_not_taken_for_its_person() -> None:
    detector = Detector()
    assert detector.words("Please say your name.")
    assert detector.words("And what is the reason for your call?") is None
    assert detector.verdict
    assert detector.verdict.kind == "screening"
