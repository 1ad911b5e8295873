"""When calls may begin, and how places are shared, as pure functions."""

import itertools
from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from call_service.capacity.domain import LONGEST_SPACING, LOOK_AHEAD, Pace, shares, spacing, starts

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RATES = st.floats(0.1, 100)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


@given(st.lists(st.sampled_from("abc"), max_size=12), st.integers(0, 50))
def test_places_are_shared_between_tenants_and_then_their_batches(tenants: list[str], limit: int) -> None:
    offered = shares(tenants, limit)
    of_tenant = Counter[str]()
    for tenant, share in zip(tenants, offered, strict=True):
        of_tenant[tenant] += share
        own = [one for owner, one in zip(tenants, offered, strict=True) if owner == tenant]
        assert max(own) - min(own) <= 1
    assert len(set(of_tenant.values())) <= 1
    assert sum(offered) >= (limit if tenants else 0)


@given(RATES, st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.integers(0, 20)), max_size=25))
def test_all_queues_of_a_tenant_keep_her_pace_together(per_second: float, looks: list[tuple[str, float, int]]) -> None:
    """Queues of different paces of their own book in any order, ahead of each other: no two starts are too near."""
    own = {"a": 0.5, "b": 3.0, "c": 80.0}
    whole, queues, now = Pace(spacing(per_second)), {name: Pace(spacing(rate)) for name, rate in own.items()}, NOW
    begun: dict[str, list[datetime]] = {name: [] for name in own}
    for name, wait, wanted in looks:
        found = starts(now, wanted, [whole, queues[name]])
        assert len(found) <= wanted
        assert all(now <= moment < now + LOOK_AHEAD for moment in found)
        whole, queues[name] = whole.with_starts(found, now), queues[name].with_starts(found, now)
        begun[name] += found
        now += timedelta(seconds=wait)
    together = [moment for some in begun.values() for moment in some]
    for moments, rate in [(together, per_second), *((begun[name], own[name]) for name in own)]:
        for earlier, after in itertools.pairwise(sorted(moments)):
            assert after - earlier >= spacing(rate)


@given(RATES)
def test_a_look_each_second_keeps_the_full_pace(per_second: float) -> None:
    pace, begun = Pace(spacing(per_second)), 0
    for second in range(20):
        found = starts(later(second), 1000, [pace])
        pace = pace.with_starts(found, later(second))
        begun += len(found)
    assert begun >= int(20 * per_second)


def test_a_slow_queue_leaves_the_gaps_between_its_starts_to_others() -> None:
    whole, slow = Pace(timedelta(seconds=0.1)), Pace(timedelta(seconds=1))
    found = starts(NOW, 5, [whole, slow])
    assert found == [NOW, later(1)]
    whole = whole.with_starts(found, NOW)
    assert starts(NOW, 20, [whole]) == [later(tenth / 10) for tenth in (*range(1, 10), *range(11, 15))]


def test_calls_that_are_asked_about_first_leave_the_time_before_to_others() -> None:
    pace = Pace(timedelta(seconds=0.5))
    found = starts(NOW, 9, [pace], lead=timedelta(seconds=1))
    assert found == [later(half / 2) for half in range(2, 5)]
    assert starts(NOW, 9, [pace.with_starts(found, NOW)]) == [NOW, later(0.5)]
    assert starts(NOW, 9, [pace], later(1.7), lead=timedelta(seconds=1)) == [later(1.7), later(2.2)]


def test_what_was_booked_is_remembered_no_longer_than_it_matters() -> None:
    pace = Pace(timedelta(seconds=1), [later(-2), later(-0.5)]).with_starts([later(0.5)], NOW)
    assert pace.booked == [later(-0.5), later(0.5)]


def test_the_slowest_pace_is_a_call_a_day() -> None:
    assert spacing(1e-300) == LONGEST_SPACING
