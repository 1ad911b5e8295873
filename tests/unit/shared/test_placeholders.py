"""`{{variable}}` placeholders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.placeholders import fill, missing, names

TEXT = "Hello {{ customer }}, on {{day}} at {{ day }}: {{order.id}}. Not one: {single}, {{}}, {{1st}}, {{a b}}."


def test_names_are_listed_once_in_order() -> None:
    assert names(TEXT) == ["customer", "day", "order.id"]


def test_missing_ones_are_those_without_a_value() -> None:
    assert missing(TEXT, {"day": "", "other": "x"}) == ["customer", "order.id"]


def test_every_mention_is_filled_and_the_rest_is_left() -> None:
    filled = fill(TEXT, {"customer": "Anna", "day": "Monday", "order.id": "7"})
    assert filled == "Hello Anna, on Monday at Monday: 7. Not one: {single}, {{}}, {{1st}}, {{a b}}."


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(KeyError, match="customer"):
        fill(TEXT, {"day": "Monday"})


@given(st.text())
def test_a_value_is_never_expanded_again(value: str) -> None:
    assert fill("{{a}}{{b}}", {"a": value, "b": "{{a}}"}) == value + "{{a}}"


@given(st.text())
def test_a_text_without_names_is_left_as_it_is(text: str) -> None:
    if not names(text):
        assert fill(text, {}) == text
