"""Cutting streamed text into sentences, guessing the answer they expect, and the control convention."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.llm import ToolCall
from call_service.voice.brain.expects import guess_expects
from call_service.voice.brain.prompt import MarkerFilter, command_of
from call_service.voice.brain.sentences import SentenceBuffer, split_sentences
from call_service.voice.ports import Collected, EndCall


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("Dr. Smith of St. Mary. It costs $4.50 today.", ["Dr. Smith of St. Mary.", "It costs $4.50 today."]),
        ("Well... maybe. Wait... Yes.", ["Well... maybe.", "Wait...", "Yes."]),
        ("1. First one. 2. Second one.", ["1. First one.", "2. Second one."]),
        ("See you at 3 p.m. on Monday.", ["See you at 3 p.m. on Monday."]),
        ("We close at 3 p.m. Please come early.", ["We close at 3 p.m.", "Please come early."]),
        ('He said "Stop." Then he left.', ['He said "Stop."', "Then he left."]),
        ("The U.S. office, e.g. in Ohio. J. R. Miller", ["The U.S. office, e.g. in Ohio.", "J. R. Miller"]),
        ("**Bold** and `code`\n- item one\n# Title", ["Bold and code", "item one", "Title"]),
        ("", []),
        (" \n ", []),
    ],
)  # fmt: skip
def test_sentences(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=200), st.integers(1, 7))
def test_pieces_do_not_change_the_words(text: str, size: int) -> None:
    buffer = SentenceBuffer()
    pieces = [sentence for start in range(0, len(text), size) for sentence in buffer.push(text[start : start + size])]
    together = "".join(pieces + buffer.flush()).replace(" ", "")
    assert together == "".join(split_sentences(text)).replace(" ", "")


def test_a_text_without_an_end_is_cut_before_it_gets_too_long() -> None:
    assert all(len(sentence) <= 400 for sentence in split_sentences("word " * 500))


@pytest.mark.parametrize(
    ("sentence", "expects"),
    [
        ("Is that right?", "yes_no"),
        ("So that is Thursday, right?", "yes_no"),
        ("And would you recommend us?", "yes_no"),
        ("What is your phone number?", "digits"),
        ("May I have your name, please?", "open"),
        ("Do you want tea or coffee?", "open"),
        ("Is 5550100 your number, is that correct?", "yes_no"),
        ("What number of guests?", "open"),
        ("I have your phone number.", "open"),
    ],
)
def test_expected_answers(sentence: str, expects: str) -> None:
    assert guess_expects(sentence) == expects


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 60), st.integers(1, 60))
def test_markers_are_found_however_they_are_cut(first: int, second: int) -> None:
    text = "Bye [now]. [[collect Full Name = Anna B.]][[end_call]]"
    cuts = sorted({0, min(first, len(text)), min(second, len(text)), len(text)})
    markers = MarkerFilter()
    spoken = ""
    commands: list[Collected | EndCall] = []
    for start, end in pairwise(cuts):
        said, found = markers.push(text[start:end])
        spoken += said
        commands += found
    assert spoken + markers.flush() == "Bye [now]. "
    assert commands == [Collected("full_name", "Anna B."), EndCall()]


def test_a_bracket_that_opens_no_marker_holds_nothing_back() -> None:
    """The whole answer waited for its last token."""
    markers = MarkerFilter()
    assert markers.push("[smiling] Hello") == ("[smiling] Hello", [])
    assert markers.push(" there [") == (" there ", [])
    assert markers.push("a link](x).") == ("[a link](x).", [])


def test_an_unfinished_marker_is_not_spoken() -> None:
    markers = MarkerFilter()
    assert markers.push("Bye. [[end_") == ("Bye. ", [])
    assert markers.flush() == ""


def test_tool_calls_mean_notes_and_the_end() -> None:
    assert command_of(ToolCall("1", "end_call", {})) == EndCall()
    assert command_of(ToolCall("1", "collect", {"field": "Day!", "value": " Friday "})) == Collected("day", "Friday")
    assert command_of(ToolCall("1", "collect", {"field": "day"})) is None
    assert command_of(ToolCall("1", "format_disk", {})) is None
