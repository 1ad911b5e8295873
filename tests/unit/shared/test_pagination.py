"""Cursors are opaque, signed and bound to their list."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.pagination import Cursors, InvalidCursorError

CALLS = Cursors("secret", "calls")


@given(st.lists(st.text(), max_size=4))
def test_a_cursor_comes_back_as_it_was_given(position: list[str]) -> None:
    try:
        "".join(position).encode()
    except UnicodeEncodeError:
        return  # lone surrogates never get into a sort key
    assert CALLS.decode(CALLS.encode(position)) == position


@given(st.text(max_size=200))
def test_whatever_a_client_makes_up_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        CALLS.decode(text)


def test_every_changed_character_breaks_the_seal() -> None:
    cursor = CALLS.encode(["0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"])
    for index in range(len(cursor) - 1):
        changed = cursor[:index] + ("A" if cursor[index] != "A" else "B") + cursor[index + 1 :]
        with pytest.raises(InvalidCursorError):
            CALLS.decode(changed)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidCursorError):
        CALLS.decode(Cursors("secret", "projects").encode(["x"]))
