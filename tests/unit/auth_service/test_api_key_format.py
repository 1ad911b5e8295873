"""The form of API keys."""

import re

from hypothesis import given
from hypothesis import strategies as st

from auth_service.api_keys.key_format import KEY_CHARS, hint, is_well_formed, key_hash, make_key

ENTROPY = st.binary(min_size=32, max_size=32)


@given(ENTROPY)
def test_every_key_is_well_formed_and_of_one_form(entropy: bytes) -> None:
    key = make_key(entropy)
    assert re.fullmatch(r"tk_live_[0-9A-Za-z]{49}", key)
    assert len(key) == KEY_CHARS
    assert is_well_formed(key)


@given(ENTROPY, ENTROPY)
def test_no_two_entropies_share_a_key(first: bytes, second: bytes) -> None:
    assert (make_key(first) == make_key(second)) == (first == second)


@given(ENTROPY, st.integers(0, KEY_CHARS - 1), st.sampled_from("0aZ_"))
def test_a_mistyped_character_is_noticed(entropy: bytes, place: int, character: str) -> None:
    key = make_key(entropy)
    typed = key[:place] + character + key[place + 1 :]
    assert is_well_formed(typed) == (typed == key)


@given(st.text(max_size=100))
def test_other_texts_are_refused(text: str) -> None:
    assert not is_well_formed(text)


def test_a_known_key() -> None:
    key = make_key(bytes(31) + b"\x3e")
    assert key[:-6] == "tk_live_" + "0" * 41 + "10"
    assert hint(key) == f"tk_live_…{key[-4:]}"
    assert len(key_hash(key)) == 32
