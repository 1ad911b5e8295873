"""Verification codes and throttles: their rules."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from auth_service.throttles.policy import Policy, State, next_state
from auth_service.verification.codes import LIFETIME, TRIES, IssuedCode, Verdict, judge, new_code

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
POLICY = Policy(free=3, base=timedelta(seconds=2), cap=timedelta(seconds=60))


def test_codes_are_six_digits_and_differ() -> None:
    codes = [new_code() for _ in range(200)]
    assert all(len(code) == 6 and code.isascii() and code.isdigit() for code in codes)
    assert len(set(codes)) > 190


@given(st.binary(min_size=1), st.binary(min_size=1), st.integers(-1, TRIES), st.integers(-700, 700))
def test_only_the_right_code_in_time_with_tries_left_is_right(
    kept: bytes, given_hash: bytes, tries: int, seconds: int
) -> None:
    issued = IssuedCode(kept, tries, NOW + LIFETIME)
    verdict = judge(issued, given_hash, NOW + timedelta(seconds=seconds))
    is_alive = tries > 0 and seconds < 600
    assert (verdict is Verdict.RIGHT) == (is_alive and kept == given_hash)
    assert (verdict is Verdict.DEAD) == (not is_alive)


def test_pauses_double_after_the_free_attempts_up_to_the_cap() -> None:
    assert [POLICY.pause(attempts).total_seconds() for attempts in range(9)] == [0, 0, 0, 2, 4, 8, 16, 32, 60]
    assert POLICY.pause(10**6).total_seconds() == 60


@given(st.lists(st.integers(0, 120), max_size=60))
def test_who_waits_the_cap_may_always_try_again(gaps: list[int]) -> None:
    now, state = NOW, State(0, NOW, NOW)
    for gap in gaps:
        now += timedelta(seconds=gap)
        state = next_state(POLICY, state, now) or state
        assert state.blocked_until - now <= POLICY.cap
    assert next_state(POLICY, state, now + POLICY.cap) is not None


@given(st.integers(0, 10**6))
def test_all_is_forgotten_after_an_hour(attempts: int) -> None:
    after = next_state(POLICY, State(attempts, NOW, NOW), NOW + timedelta(hours=1, seconds=1))
    assert after is not None
    assert after.attempts == 1


def test_an_attempt_in_the_pause_changes_nothing() -> None:
    assert next_state(POLICY, State(3, NOW + timedelta(seconds=2), NOW), NOW + timedelta(seconds=1)) is None
