"""E.164 fields: what passes, and the reason where something doesn't."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from shared.e164 import E164

ADAPTER = TypeAdapter(E164)


@pytest.mark.parametrize(
    "number",
    [
        *(f"+120255501{last:02}" for last in range(14)),
        "+14155550123",
        "+4915112345678",
        "+442079460018",
        "+85212345678",
    ],
)
def test_numbers_that_a_country_could_assign_pass_unchanged(number: str) -> None:
    assert ADAPTER.validate_python(number) == number


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("2025550100", "national format"),
        ("0151 12345678", "national format"),
        ("", "national format"),
        ("+1 202 555 0100", "without spaces"),
        ("+1-202-555-0100", "without spaces"),
        ("+1202555010x", "without spaces"),
        ("+١٢٠٢٥٥٥٠١٠٠", "without spaces"),
        ("+", "without spaces"),
        ("+999123456789", "calling code"),
        ("+1202555", "too short"),
        ("+1202555010012", "too long"),
        ("+12", "too few"),
        ("+15550100", "area code"),
        ("+44(0)2079460018", "without spaces"),
        ("+4402079460018", "trunk prefix"),
    ],
)
def test_other_numbers_are_refused_with_a_reason(number: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ADAPTER.validate_python(number)
    [error] = caught.value.errors()
    assert error["type"] == "invalid_e164"
    assert reason in error["msg"]


@given(st.text(max_size=25) | st.from_regex(r"\+[0-9]{1,18}", fullmatch=True))
def test_any_text_passes_unchanged_or_is_refused_as_a_number(text: str) -> None:
    try:
        passed = ADAPTER.validate_python(text)
    except ValidationError as error:
        passed = error.errors()[0]["type"]
    assert passed in {text, "invalid_e164"}
