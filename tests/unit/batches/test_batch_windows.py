"""Calling hours in the callee's own zone, on the days when clocks change above all."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.batches.domain import DAYS, Window
from call_service.batches.windows import next_open, zones_of

ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # moves by half an hour
    "America/Havana",  # changes at midnight
    "Africa/Cairo",
    "Pacific/Apia",
    "Pacific/Kiritimati",
)


def window(hours: str, *days: str) -> Window:
    return Window.model_validate({"days": days or DAYS, "hours": hours})


@st.composite
def windows(draw: st.DrawFn) -> Window:
    start = draw(st.integers(0, 24 * 60 - 1))
    end = draw(st.integers(start + 1, 24 * 60))
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return window(f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}", *days)


moments = st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - st adds UTC


def is_within(moment: datetime, zone: str, wanted: Window) -> bool:
    local = moment.astimezone(ZoneInfo(zone))
    start, end = wanted.minutes
    minutes = local.hour * 60 + local.minute
    return DAYS[local.weekday()] in wanted.days and start <= minutes < end


@given(moments, st.lists(st.sampled_from(ZONES), min_size=1, max_size=3, unique=True), windows())
def test_while_it_is_open_every_clock_is_within_the_window(now: datetime, zones: list[str], wanted: Window) -> None:
    found = next_open(now, zones, wanted)
    if found is None:
        assert len(zones) > 1  # a single zone always opens again within the horizon
        return
    assert found.end > now
    length = found.end - found.start
    for share in (0, 0.1, 0.5, 0.9, 0.999):
        for zone in zones:
            assert is_within(found.start + length * share, zone, wanted)


@given(moments, st.sampled_from(ZONES), windows())
def test_no_open_time_is_passed_over(now: datetime, zone: str, wanted: Window) -> None:
    """Between now and the opening, the clock is within the window at most for the change that the safe side costs."""
    found = next_open(now, [zone], wanted)
    assert found is not None
    step = timedelta(minutes=15)
    early = now
    missed = timedelta()
    while early < found.start:
        missed += step if is_within(early, zone, wanted) else timedelta()
        early += step
    assert missed <= timedelta(hours=2)


@pytest.mark.parametrize(
    ("now", "zone", "hours", "opens", "closes"),
    [
        # Summer time begins: 02:00 becomes 03:00.
        ("2026-03-08T05:00", "America/New_York", "01:00-05:00", "2026-03-08T06:00", "2026-03-08T09:00"),
        ("2026-03-08T05:00", "America/New_York", "02:30-05:00", "2026-03-08T07:30", "2026-03-08T09:00"),
        ("2026-03-08T05:00", "America/New_York", "01:00-02:30", "2026-03-08T06:00", "2026-03-08T06:30"),
        # Both ends in the hour that does not exist: not on that day.
        ("2026-03-08T05:00", "America/New_York", "02:15-02:45", "2026-03-09T06:15", "2026-03-09T06:45"),
        # It ends: 01:00 to 02:00 comes twice.
        ("2026-11-01T04:00", "America/New_York", "00:30-05:00", "2026-11-01T04:30", "2026-11-01T10:00"),
        ("2026-11-01T04:00", "America/New_York", "01:30-05:00", "2026-11-01T06:30", "2026-11-01T10:00"),
        ("2026-11-01T04:00", "America/New_York", "00:30-01:30", "2026-11-01T04:30", "2026-11-01T05:30"),
        # The same hours by the clock on the wall, an hour apart in UTC.
        ("2026-03-27T00:00", "Europe/Berlin", "09:00-18:00", "2026-03-27T08:00", "2026-03-27T17:00"),
        ("2026-03-30T00:00", "Europe/Berlin", "09:00-18:00", "2026-03-30T07:00", "2026-03-30T16:00"),
        ("2026-03-30T00:00", "Europe/Berlin", "00:00-24:00", "2026-03-29T22:00", "2026-03-30T22:00"),
    ],
)
def test_days_on_which_clocks_change(now: str, zone: str, hours: str, opens: str, closes: str) -> None:
    found = next_open(datetime.fromisoformat(f"{now}Z"), [zone], window(hours))
    assert found == (datetime.fromisoformat(f"{opens}Z"), datetime.fromisoformat(f"{closes}Z"))


def test_days_are_those_of_the_callee() -> None:
    """Monday in Auckland begins on Sunday noon, UTC."""
    found = next_open(datetime(2026, 6, 7, tzinfo=UTC), ["Pacific/Auckland"], window("08:00-09:00", "mon"))
    assert found is not None
    assert found.start == datetime(2026, 6, 7, 20, tzinfo=UTC)


def test_several_zones_share_only_some_hours_or_none() -> None:
    coasts = ["America/New_York", "America/Los_Angeles"]
    now = datetime(2026, 6, 8, tzinfo=UTC)
    found = next_open(now, coasts, window("09:00-18:00", "mon"))
    assert found == (datetime(2026, 6, 8, 16, tzinfo=UTC), datetime(2026, 6, 8, 22, tzinfo=UTC))
    assert next_open(now, coasts, window("09:00-11:00")) is None


@pytest.mark.parametrize(
    ("number", "zones"),
    [
        ("+12025550100", ("America/New_York",)),
        ("+442079460000", ("Europe/London",)),
        ("+5511987654321", ("America/Sao_Paulo",)),
        ("+447700900000", ("Europe/Guernsey", "Europe/Isle_of_Man", "Europe/London")),
        ("+882123456789", ()),
    ],
)
def test_the_zones_of_a_number(number: str, zones: tuple[str, ...]) -> None:
    assert zones_of(number) == zones


def test_a_number_of_no_place_has_all_zones_of_its_country() -> None:
    assert {"America/New_York", "America/Los_Angeles", "Pacific/Honolulu"} <= set(zones_of("+18005550100"))
