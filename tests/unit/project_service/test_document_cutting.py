"""Texts are cut into passages that can be found."""

import time

import pytest

from project_service.documents.cutting import MAX_CHARS, MAX_WORDS, passages_of

WORDS = "word " * 50


@pytest.mark.parametrize(
    ("text", "passages"),
    [
        ("", []),
        (" \n\n \f ", []),
        ("We open\nat nine.", ["We open at nine."]),
        ("One.\n\nTwo.\r\n\r\nThree.", ["One. Two. Three."]),
        ("# Prices\nA filling is $120.\n\nA crown is $900.", ["Prices: A filling is $120. A crown is $900."]),
        ("Hello.\n## Hours ##\nWe open at nine.\n# Prices", ["Hello.", "Hours: We open at nine."]),
        ("#1 in town", ["#1 in town"]),
        ("####### No heading", ["####### No heading"]),
        ("# C# #\nA language.", ["C#: A language."]),
        (f"{WORDS}\n\n{WORDS}\n\n{WORDS}", [f"{WORDS}{WORDS}".strip(), WORDS.strip()]),
    ],
)
def test_paragraphs_are_gathered_under_their_heading(text: str, passages: list[str]) -> None:
    assert passages_of(text) == passages


def test_no_word_is_lost_and_no_passage_is_too_long() -> None:
    text = "".join(f"Sentence {number} of a paragraph that never ends. " for number in range(500)) + "x " * 1000
    found = passages_of(text)
    assert " ".join(found).split() == text.split()
    assert max(len(passage.split()) for passage in found) <= MAX_WORDS
    assert len(found) <= 1.2 * len(text.split()) / MAX_WORDS


@pytest.mark.parametrize("letter", ["x", "\u6f22"])
def test_a_text_without_blanks_is_cut_too(letter: str) -> None:
    """One word of megabytes was one passage: in the memory of all workers, and minutes of their tokenizer."""
    found = passages_of(letter * 100_000)
    assert "".join(found) == letter * 100_000
    assert max(map(len, found)) <= MAX_CHARS


def test_a_hostile_heading_takes_no_time() -> None:
    """Its expression took quadratic time, and held the interpreter's lock: one upload stopped the whole service."""
    began = time.process_time()
    assert passages_of("# a" + " " * 200_000 + "b\nc") == [f"a{' ' * 199}: c"]
    assert time.process_time() - began < 2
