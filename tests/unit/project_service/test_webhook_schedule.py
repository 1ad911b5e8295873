"""When a delivery is tried again."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_service.webhooks.schedule import MAX_ATTEMPTS, Outcome, decide, parse_retry_after

NOW = datetime(2026, 11, 25, 9, 0, tzinfo=UTC)
statuses = st.none() | st.integers(100, 599)
jitters = st.floats(0, 1, exclude_max=True)


def delays(jitter: float) -> list[timedelta]:
    return [decide(Outcome(500), attempts, jitter).delay for attempts in range(1, MAX_ATTEMPTS)]


def test_ten_attempts_take_about_75_hours() -> None:
    total = sum(delays(0.5), timedelta())
    assert (len(delays(0.5)), total) == (9, timedelta(hours=75, minutes=35, seconds=5))


@given(jitters)
def test_jitter_spreads_by_a_tenth_and_delays_grow(jitter: float) -> None:
    for delay, middle in zip(delays(jitter), delays(0.5), strict=True):
        assert 0.9 * middle <= delay + timedelta(microseconds=1)
        assert delay <= 1.1 * middle
    assert delays(jitter) == sorted(delays(jitter))


@given(statuses, st.integers(1, 30), jitters, st.none() | st.timedeltas(timedelta(), timedelta(days=400)))
def test_every_outcome_has_a_verdict(
    status: int | None, attempts: int, jitter: float, retry_after: timedelta | None
) -> None:
    verdict = decide(Outcome(status, retry_after=retry_after), attempts, jitter)
    if status is not None and 200 <= status < 300:
        assert verdict.status == "delivered"
    elif attempts >= MAX_ATTEMPTS or status == 410:
        assert verdict.status == "parked"
    else:
        assert verdict.status == "pending"
        assert timedelta(seconds=4) < verdict.delay < timedelta(hours=27)
    assert verdict.disables_endpoint == (status == 410)


def test_redirects_are_failures() -> None:
    assert decide(Outcome(301), 1, 0.5).status == "pending"


def test_retry_after_only_makes_a_wait_longer() -> None:
    def wait(attempts: int, retry_after: timedelta) -> timedelta:
        return decide(Outcome(429, retry_after=retry_after), attempts, 0.5).delay

    assert wait(1, timedelta(minutes=1)) == timedelta(minutes=1)
    assert wait(3, timedelta(minutes=1)) == timedelta(minutes=30)
    assert wait(1, timedelta(days=90)) == timedelta(hours=24)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("0", timedelta()),
        (" 120 ", timedelta(minutes=2)),
        ("9" * 400, timedelta(hours=24)),
        ("Wed, 25 Nov 2026 09:01:00 GMT", timedelta(minutes=1)),
        ("Wed, 25 Nov 2026 08:59:00 GMT", None),
        ("Wed, 25 Nov 9999999 08:59:00 GMT", None),
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Wed, 25 Nov 2026 09:01:00 +999999999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms(header: str | None, expected: timedelta | None) -> None:
    assert parse_retry_after(header, NOW) == expected


@given(st.text(max_size=60))
def test_no_header_breaks_it(header: str) -> None:
    assert (parse_retry_after(header, NOW) or timedelta()) >= timedelta()
