"""How text is read aloud, and when a number is still being spelled."""

import pytest

from call_service.voice.engines.spoken import spoken
from call_service.voice.patience import is_spelling_digits


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Call +1 202 555 0100 now.", "Call plus 1, 2 0 2, 5 5 5, 0 1 0 0 now."),
        ("+12025550100", "plus 1, 2 0 2, 5 5 5, 0 1 0 0"),
        ("(415) 555-0132", "4 1 5, 5 5 5, 0 1 3 2"),
        ("1-800-555-0199", "1, 8 0 0, 5 5 5, 0 1 9 9"),
        ("Your code is 48213.", "Your code is 4 8 2 1 3."),
        ("Mail anna.b+x@example.co.uk.", "Mail anna dot b plus x at example dot co dot uk."),
        ("See https://www.example.com/book-now.", "See example dot com slash book dash now."),
        ("**Bold** and `code` \U0001f389", "Bold and code"),
    ],
)
def test_hard_text_is_spelled_out(written: str, read: str) -> None:
    assert spoken(written) == read


@pytest.mark.parametrize(
    "text",
    [
        "At 3pm or 15:30.",
        "It is $49.99.",
        "On 2026-11-25.",
        "In 2024, room 1204.",
        "1,250,000 people",
        "From 2020-2024.",
    ],
)
def test_what_the_engine_reads_well_stays(text: str) -> None:
    assert spoken(text) == text


@pytest.mark.parametrize("text", ["It is four one five", "My number is 415-55", "oh two oh, seven,"])
def test_a_number_that_breaks_off(text: str) -> None:
    assert is_spelling_digits(text)


@pytest.mark.parametrize("text", ["Tuesday at three.", "415-555-0123", "one two three is easy", "For two, at 7.", ""])
def test_a_number_that_is_complete_or_none(text: str) -> None:
    assert not is_spelling_digits(text)
