"""Which signing key is made, signs and goes, and what is sealed."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from auth_service.keys.rotation import KEPT_AFTER_LAST_USE, SigningKey, due, outdated, signer
from auth_service.secret_box import SecretBox

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
LIFETIME = timedelta(days=30)


def test_a_new_installation_gets_two_keys() -> None:
    assert due([], NOW, LIFETIME) == [NOW, NOW + LIFETIME]


@given(st.lists(st.integers(1, 24 * 200), min_size=1, max_size=40))
def test_at_every_start_there_is_a_signer_and_a_known_next_one(hours: list[int]) -> None:
    """A process may run rarely or often: afterwards one key signs and exactly one waits."""
    now, starts = NOW, list(due([], NOW, LIFETIME))
    for gap in hours:
        now += timedelta(hours=gap)
        starts += due(starts, now, LIFETIME)
        for start in outdated(starts, now):
            starts.remove(start)
        assert len([start for start in starts if start > now]) == 1
        assert any(start <= now for start in starts)
        assert due(starts, now, LIFETIME) == []


@given(st.integers(0, 400))
def test_a_key_stays_until_its_last_token_is_over(minutes: int) -> None:
    starts = [NOW - LIFETIME, NOW, NOW + LIFETIME]
    gone = outdated(starts, NOW + timedelta(minutes=minutes))
    assert gone == ([starts[0]] if timedelta(minutes=minutes) >= KEPT_AFTER_LAST_USE else [])


def test_the_youngest_key_whose_time_has_come_signs() -> None:
    keys = [SigningKey(str(day), Ed25519PrivateKey.generate(), NOW + timedelta(days=day)) for day in (-60, 0, 30)]
    assert signer(keys, NOW).kid == "0"
    assert signer(keys, NOW + timedelta(days=30)).kid == "30"


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
