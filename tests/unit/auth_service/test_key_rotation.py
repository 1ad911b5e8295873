"""Which signing key is made, signs and goes."""

from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from auth_service.keys.rotation import KEPT_AFTER_LAST_USE, SigningKey, due, outdated, signer

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
