"""What refresh tokens are worth."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from auth_service.sessions.refresh import GRACE, Fate, RefreshToken, fate, open_successor, seal_successor

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
SECOND = timedelta(seconds=1)


def _fate(token: RefreshToken, *, is_revoked: bool = False, session_ends_at: datetime = LATER) -> Fate:
    return fate(token, session_ends_at, is_revoked=is_revoked, now=NOW)


def test_the_fates_of_a_token() -> None:
    assert _fate(RefreshToken(LATER)) is Fate.ROTATE
    assert _fate(RefreshToken(NOW)) is Fate.ENDED
    assert _fate(RefreshToken(LATER, spent_at=NOW - GRACE)) is Fate.REPEAT
    assert _fate(RefreshToken(LATER, spent_at=NOW - GRACE - SECOND)) is Fate.REUSED
    assert _fate(RefreshToken(LATER, spent_at=NOW, is_successor_spent=True)) is Fate.REUSED
    assert _fate(RefreshToken(NOW - SECOND, spent_at=NOW - 2 * GRACE)) is Fate.REUSED


@given(st.booleans(), st.sampled_from([None, NOW, NOW - 2 * GRACE]), st.booleans())
def test_nothing_follows_in_a_session_that_has_ended(
    is_revoked: bool, spent_at: datetime | None, is_successor_spent: bool
) -> None:
    token = RefreshToken(LATER, spent_at, is_successor_spent)
    assert _fate(token, is_revoked=is_revoked, session_ends_at=LATER if is_revoked else NOW) is Fate.ENDED


@given(st.text(min_size=1), st.text(min_size=1), st.text(min_size=1))
def test_only_the_token_itself_opens_its_successor(token: str, other: str, successor: str) -> None:
    sealed = seal_successor(token, successor)
    assert open_successor(token, sealed) == successor
    if other != token:
        with pytest.raises(InvalidTag):
            open_successor(other, sealed)
