"""When calls may begin so that every pace is kept, and how places are shared. Pure functions; moments are UTC."""

import math
from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

# Calls are claimed this far ahead of their start: more than the second between two looks of a worker.
LOOK_AHEAD = timedelta(seconds=1.5)
# Calls that have to be asked about begin no earlier, so that the answer does not come after their start.
ASKING = timedelta(seconds=1.5)
# Who comes later than this to a start that was promised needs another one. Event loops are late by some milliseconds.
TOLERANCE = timedelta(milliseconds=100)
# Starts are remembered for so long; a slower pace than a call a day is taken for that.
LONGEST_SPACING = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """Of each tenant. A trunk has its own."""

    calls_per_second: float
    max_calls: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Calls begin at least `spacing` apart. `booked` are starts that were promised, in order."""

    spacing: timedelta
    booked: list[datetime] = field(default_factory=list)

    def free_from(self, moment: datetime) -> datetime:
        """The first moment from `moment` on that keeps its distance from the starts before it and after it."""
        for index in range(bisect_right(self.booked, moment - self.spacing), len(self.booked)):
            start = self.booked[index]
            if start - moment >= self.spacing:
                break
            moment = start + self.spacing
        return moment

    def with_starts(self, moments: Sequence[datetime], now: datetime) -> Self:
        """After these were booked too; what no longer matters is forgotten."""
        kept = [start for start in (*self.booked, *moments) if start > now - self.spacing]
        return replace(self, booked=sorted(kept))


def starts(
    now: datetime,
    wanted: int,
    paces: Sequence[Pace],
    not_before: datetime | None = None,
    *,
    lead: timedelta = timedelta(0),
) -> list[datetime]:
    """When up to `wanted` calls begin: as soon as every pace allows each, as far as the look-ahead reaches.

    None begins before `lead` has passed; the look-ahead counts from then on.
    """
    soonest = now + lead
    first = max(soonest, not_before or now)
    own = [replace(pace, booked=list(pace.booked)) for pace in paces]
    found: list[datetime] = []
    while len(found) < wanted:
        moment = in_step(found[-1] if found else first, own)
        if moment >= soonest + LOOK_AHEAD:
            break
        found.append(moment)
        for pace in own:
            insort(pace.booked, moment)
    return found


def in_step(moment: datetime, paces: Sequence[Pace]) -> datetime:
    """The first moment from `moment` on that every pace allows."""
    while (later := max((pace.free_from(moment) for pace in paces), default=moment)) > moment:
        moment = later
    return moment


def spacing(per_second: float) -> timedelta:
    """The time between two calls."""
    return timedelta(seconds=min(1 / per_second, LONGEST_SPACING.total_seconds()))


def shares(tenants: Sequence[str], limit: int) -> list[int]:
    """How many of `limit` places each queue is offered, given whose it is: alike for all tenants, then for her queues.

    Rounded up, so that together they may exceed `limit`; the first come first.
    """
    if not tenants:
        return []
    queues = Counter(tenants)
    left = dict.fromkeys(tenants, math.ceil(limit / len(queues)))
    offered = []
    for tenant in tenants:
        share = math.ceil(left[tenant] / queues[tenant])
        left[tenant] -= share
        queues[tenant] -= 1
        offered.append(share)
    return offered
