"""What a scenario expects is compared with what happened, word by word, figure by figure."""

from typing import Any

import pytest

from call_service.scenarios.judging import TIMED_OUT, Observation, Said, judge
from call_service.scenarios.report import ScenarioReport, Summary
from call_service.scenarios.scenario import Scenario
from call_service.scenarios.text import has_phrase, normalized, word_errors
from call_service.voice.options import TurnTimings
from call_service.voice.ports import Turn

TURNS = (
    Turn("agent", "Hello, this is Bright Dental.", 0, 1_500),
    Turn("user", "I'd like to come on Thursday at 3 PM.", 2_000, 4_000),
    Turn("agent", "Let me repeat: Thursday", 4_500, 5_500, interrupted=True),
    Turn("user", "42#", 6_000, 6_000),
)
TIMINGS = (TurnTimings(), TurnTimings(), TurnTimings(voice_to_voice_ms=500, barge_in_ms=180), TurnTimings())
SEEN: dict[str, Any] = {
    "status": "completed",
    "reason": "callee_hung_up",
    "turns": TURNS,
    "timings": TIMINGS,
    "data": {"day": "Thursday", "number": "555 0100"},
    "tools": ("book",),
    "said": (Said("I'd like to come on Thursday at three p.m.", 4_000), Said("Goodbye.", 9_500)),
    "pressed": "1",
    "answered_by": "human",
    "end_ms": 10_000,
}


def judged(expect: dict[str, Any], **changes: Any) -> ScenarioReport:
    scenario = {"name": "x", "callee": {"description": "x"}, "expect": expect}
    return judge(Scenario.model_validate(scenario), Observation(**{**SEEN, **changes}))


@pytest.mark.parametrize(
    ("expect", "ok"),
    [
        ({"says": ["bright dental", "THURSDAY"]}, True),
        ({"says": ["dental bright"]}, False),
        ({"says": [["Friday", "let me repeat thursday"]]}, True),
        ({"says": ["come on"]}, False),  # that was the callee
        ({"hears": ["Thursday at three"]}, True),
        ({"hears": ["Friday"]}, False),
        ({"never_says": ["as an AI"]}, True),
        ({"never_says": ["Thursday"]}, False),
        ({"data": {"day": "thursday"}}, True),
        ({"data": {"day": ["Friday", "Thursday"]}}, True),
        ({"data": {"day": "Friday"}}, False),
        ({"data": {"number": "five five five zero one zero zero"}}, True),
        ({"data": {"number": None}}, True),
        ({"data": {"name": None}}, False),
        ({"tools": ["book"]}, True),
        ({"tools": ["cancel"]}, False),
        ({"pressed": "1"}, True),
        ({"pressed": "12"}, False),
        ({"status": "completed", "reason": "callee_hung_up"}, True),
        ({"status": "voicemail"}, False),
        ({"reason": "agent_hung_up"}, False),
        ({"answered_by": "human"}, True),
        ({"answered_by": "voicemail"}, False),
        ({"interrupted": True}, True),
        ({"interrupted": False}, False),
        ({"max_turns": 2}, True),
        ({"max_turns": 1}, False),
        ({"max_voice_to_voice_ms": 500}, True),
        ({"max_voice_to_voice_ms": 499}, False),
        ({"max_barge_in_ms": 180}, True),
        ({"max_barge_in_ms": 179}, False),
        ({"max_word_error_rate": 0}, True),
    ],
)
def test_an_expectation_is_met_or_not(expect: dict[str, Any], ok: bool) -> None:
    report = judged(expect)
    assert report.ok is ok
    assert {check.rule.split(".")[0] for check in report.checks} == set(expect)


def test_what_was_not_measured_is_no_proof() -> None:
    for rule in ("max_voice_to_voice_ms", "max_barge_in_ms"):
        report = judged({rule: 5_000}, timings=(TurnTimings(),) * 4)
        assert [(check.ok, check.found) for check in report.checks] == [(False, "nothing was measured")]


def test_a_call_that_does_not_end_fails_whatever_else_is_right() -> None:
    report = judged({"says": ["Thursday"]}, reason=TIMED_OUT, status="failed")
    assert not report.ok
    assert [check.rule for check in report.checks if not check.ok] == ["max_seconds"]


def test_last_words_that_nobody_could_hear_are_no_recognition_error() -> None:
    assert (judged({"interrupted": True}).word_errors, judged({"interrupted": True}).words) == (0, 9)
    early = judged({"interrupted": True}, said=(*SEEN["said"][:1], Said("Goodbye.", 8_000)))
    assert (early.word_errors, early.words) == (1, 10)
    heard = (*TURNS, Turn("user", "Good-bye.", 9_000, 9_500))
    late = judged({"interrupted": True}, turns=heard, timings=(*TIMINGS, TurnTimings()))
    assert (late.word_errors, late.words) == (0, 10)


def test_keys_are_not_taken_for_words() -> None:
    report = judged({"max_word_error_rate": 0})
    assert [(check.ok, check.found) for check in report.checks] == [(True, "0.0%")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("twenty five", "25"),
        ("Twenty-five!", "2 5"),
        ("five five five, zero one oh oh", "555-0100"),
        ("three thirty p.m.", "3:30 PM"),
        ("It's 1,200 dollars", "it\N{RIGHT SINGLE QUOTATION MARK}s 1200 dollars"),
        ("good-bye", "goodbye"),
        ("nineteen ninety", "1990"),
        ("forty", "40"),
    ],
)
def test_how_numbers_are_written_is_no_difference(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)


def test_oh_is_a_zero_among_digits_only() -> None:
    assert normalized("oh, I see") == ["oh", "i", "see"]


@pytest.mark.parametrize(
    ("said", "heard", "errors", "words"),
    [
        (["My name is Anna."], ["My name is Anna"], 0, 4),
        (["My name is Anna."], ["My name is Hannah"], 1, 4),
        (["My name is Anna."], ["name is Anna"], 1, 4),
        (["My name is Anna."], ["My name is", "Anna Miller"], 1, 4),
        (["My name is Anna."], [], 4, 4),
        (["A check-up, please."], ["A checkup, please."], 0, 3),
        (["A checkup, please."], ["A check-up, please."], 0, 3),
        (["A check-up, please."], ["A check, please."], 1, 4),
        ([], ["boo"], 1, 0),
        ([], [], 0, 0),
    ],
)
def test_word_errors_are_replaced_missing_and_made_up_words(
    said: list[str], heard: list[str], errors: int, words: int
) -> None:
    assert word_errors(said, heard) == (errors, words)


def test_a_phrase_is_there_word_by_word() -> None:
    said = normalized("We are open from nine to five. Nine to six on Friday.")
    assert has_phrase(said, "9 to 6")
    assert not has_phrase(said, "nine to seven")
    assert not has_phrase(said, "pen from")


def test_a_summary_counts_words_and_waits_of_all_scenarios_together() -> None:
    good = judged({"says": ["Thursday"]})
    bad = judged({"says": ["Friday"]}).model_copy(
        update={"voice_to_voice_ms": [700, 900], "word_errors": 3, "words": 3}
    )
    assert Summary.of([good, bad]).model_dump() == {
        "total": 2,
        "passed": 1,
        "failed": 1,
        "voice_to_voice_p50_ms": 700,
        "voice_to_voice_p95_ms": 900,
        "word_error_rate": 0.25,
    }
    assert Summary.of([]).word_error_rate is None
