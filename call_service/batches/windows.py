"""Calling hours in the callee's own time zone, daylight saving included. Pure functions; moments are UTC."""

import zoneinfo
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers import timezone

from call_service.batches.domain import DAYS, Window

# Two weeks and a day: a weekly window of half an hour may vanish once, where the clocks are put forward.
HORIZON_DAYS = 16


class Interval(NamedTuple):
    """From `start` up to, not including, `end`."""

    start: datetime
    end: datetime


@cache
def known_zones() -> frozenset[str]:
    """The names of the tz database; `ZoneInfo` itself would open any path below it."""
    return frozenset(zoneinfo.available_timezones())


def zones_of(number: str) -> tuple[str, ...]:
    """All time zones that a valid E.164 number may be in, by the prefix data of `phonenumbers`; none where unknown.

    A number that is not bound to a place (mobile in some countries, toll-free) has those of its whole country.
    """
    parsed = phonenumbers.parse(number)
    for lookup in (timezone.time_zones_for_number, timezone.time_zones_for_geographical_number):
        zones = tuple(sorted(set(lookup(parsed)) & known_zones()))
        if zones and zones != (timezone.UNKNOWN_TIMEZONE,):
            return zones
    return ()


def next_open(now: datetime, zones: Sequence[str], window: Window) -> Interval | None:
    """The present or next interval in which the window is open in every one of `zones`; None: there is none.

    Whenever it is open, each zone's clock shows a time within the window, also on the day when clocks change. A limit
    that a clock skips or shows twice is taken on the safe side, which may shorten the interval by up to the change.
    """
    common = _daily(now, zones[0], window)
    for zone in zones[1:]:
        common = _overlaps(common, _daily(now, zone, window))
    return next((interval for interval in common if interval.end > now), None)


def _daily(now: datetime, zone: str, window: Window) -> list[Interval]:
    first = now.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
    days = (first + timedelta(days=offset) for offset in range(HORIZON_DAYS))
    opened = (_of_day(day, ZoneInfo(zone), window) for day in days if DAYS[day.weekday()] in window.days)
    return [interval for interval in opened if interval.start < interval.end]


def _of_day(day: date, zone: ZoneInfo, window: Window) -> Interval:
    start, end = window.minutes
    return Interval(_moment(day, start, zone, max), _moment(day, end, zone, min))


def _moment(day: date, minutes: int, zone: ZoneInfo, choose: Callable[[Iterable[datetime]], datetime]) -> datetime:
    """When the clock shows this time; where it does so twice or never, what `choose` takes of both readings."""
    shown = datetime.combine(day, time(), zone) + timedelta(minutes=minutes)
    return choose(shown.replace(fold=fold).astimezone(UTC) for fold in (0, 1))


def _overlaps(some: Sequence[Interval], others: Sequence[Interval]) -> list[Interval]:
    both = (Interval(max(a.start, b.start), min(a.end, b.end)) for a in some for b in others)
    return [interval for interval in both if interval.start < interval.end]
