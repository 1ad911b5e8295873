"""Texts are cut into passages that can be found."""

import pytest

from project_service.documents.cutting import MAX_WORDS, passages_of

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
