"""Secrets at rest: what opens what."""

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from shared.secret_box import SecretBox


@given(st.binary())
def test_what_is_sealed_opens_with_its_key_and_purpose_only(plain: bytes) -> None:
    box = SecretBox("a" * 32, "mail")
    sealed = box.seal(plain)
    assert box.open(sealed) == plain
    assert box.seal(plain) != sealed
    for other in (SecretBox("b" * 32, "mail"), SecretBox("a" * 32, "keys")):
        with pytest.raises(InvalidTag):
            other.open(sealed)
    with pytest.raises(InvalidTag):
        box.open(sealed[:-1] + bytes([sealed[-1] ^ 1]))


def test_the_encryption_key_can_be_changed() -> None:
    old = SecretBox("a" * 32, "mail").seal(b"text")
    both = SecretBox("b" * 32 + ", " + "a" * 32, "mail")
    assert both.open(old) == b"text"
    assert SecretBox("b" * 32, "mail").open(both.seal(b"text")) == b"text"


def test_keyed_hashes_tell_their_parts_apart() -> None:
    box = SecretBox("a" * 32, "secrets")
    assert box.hash("ab", "c") != box.hash("a", "bc")
    assert box.hash("ab") == SecretBox("a" * 32, "secrets").hash("ab")


def test_what_was_hashed_before_the_key_was_changed_is_recognised() -> None:
    old, both = SecretBox("a" * 32, "secrets"), SecretBox("b" * 32 + ", " + "a" * 32, "secrets")
    assert both.hashes("ab") == [SecretBox("b" * 32, "secrets").hash("ab"), old.hash("ab")]
    assert both.hash("ab") == both.hashes("ab")[0]


def test_text_is_sealed_for_a_column_of_text() -> None:
    box = SecretBox("a" * 32, "webhook-secrets")
    sealed = box.seal_text("whsec_x")
    assert sealed.isascii()
    assert "whsec_x" not in sealed
    assert box.open_text(sealed) == "whsec_x"
