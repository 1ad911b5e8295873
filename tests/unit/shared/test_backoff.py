from hypothesis import given
from hypothesis import strategies as st

from shared.backoff import backoff_seconds


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_between_half_and_the_whole_of_the_exponential(failures: int, jitter: float) -> None:
    whole = min(30.0, 0.5 * 2.0 ** min(failures, 100))
    assert whole / 2 <= backoff_seconds(failures, jitter=jitter) <= whole


def test_it_grows_to_its_cap() -> None:
    assert [backoff_seconds(failures, base=1, cap=5, jitter=0) for failures in range(5)] == [0.5, 1, 2, 2.5, 2.5]


def test_it_is_spread_by_default() -> None:
    assert len({backoff_seconds(3) for _ in range(20)}) > 1
