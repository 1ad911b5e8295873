"""What a batch may do next: pure functions of the time and of what is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from call_service.batches.domain import Batch, Retry
from call_service.calls.domain import Fault, Status
from call_service.capacity.domain import Pace, spacing
from shared.backoff import backoff_seconds

ATTEMPTS_SPAN = timedelta(days=1)

BREAKER_WINDOW = 20
BREAKER_MIN = 10
BREAKER_SHARE = 0.5
BREAKER_PAUSE = timedelta(minutes=1)
BREAKER_MAX_TRIPS = 5
_FAILURE_FAULTS: frozenset[Fault] = frozenset({"carrier", "platform", "provider"})

BATCH_PAUSED = "batch_paused"
OUTSIDE_WINDOW = "outside_window"
DO_NOT_CALL = "do_not_call"
CANCELED_BY_API = "canceled_by_api"
PRE_DIAL_AGREED = "pre_dial_agreed"
PRE_DIAL_REFUSED = "pre_dial_refused"
PRE_DIAL_FAILED = "pre_dial_failed"
# How often in a row a contact's question may go wrong, and the waits between (each between half of it and the whole).
PRE_DIAL_MAX_FAILURES = 5
PRE_DIAL_WAIT = timedelta(minutes=1)
PRE_DIAL_LONGEST_WAIT = timedelta(minutes=30)
# Ends of a call that was stopped on its way to the carrier: nobody's phone rang, so it does not count as an attempt.
NOT_DIALLED = frozenset({BATCH_PAUSED, OUTSIDE_WINDOW})
# Ends that say neither good nor bad of the carrier.
_TELLS_NOTHING = NOT_DIALLED | {DO_NOT_CALL, CANCELED_BY_API, PRE_DIAL_REFUSED}


def allowance(batch: Batch, limit: int, dial_cost: Decimal) -> int:
    """How many of `limit` calls the batch may begin; `dial_cost` is the most that one of them can cost.

    What its live calls may still cost is reserved, so that the budget is never exceeded.
    """
    room = [limit]
    if batch.max_concurrency is not None:
        room.append(batch.max_concurrency - batch.active)
    if batch.trips:
        room.append(1 - batch.active)
    if batch.budget is not None and dial_cost:
        room.append(int((batch.budget - batch.spent) / dial_cost) - batch.active)
    if _is_all_spent(batch):
        return 0
    return max(0, min(room))


def is_budget_spent(batch: Batch, dial_cost: Decimal) -> bool:
    """Not even one more call fits, and none is live that could turn out cheaper."""
    if batch.budget is None or batch.active:
        return False
    return _is_all_spent(batch) or batch.spent + dial_cost > batch.budget


def _is_all_spent(batch: Batch) -> bool:
    """Also where the carrier costs nothing: vendors may."""
    return batch.budget is not None and bool(batch.spent) and batch.spent >= batch.budget


def paces(batch: Batch) -> list[Pace]:
    """The batch's own pace, if it has one. Its earlier starts are known by `next_dial_at`."""
    return [] if batch.calls_per_second is None else [Pace(spacing(batch.calls_per_second))]


def next_dial_at(batch: Batch, moments: Sequence[datetime]) -> datetime:
    """When the batch may begin the next call, after it began some at these `moments`."""
    if not moments or batch.calls_per_second is None:
        return batch.next_dial_at
    return moments[-1] + spacing(batch.calls_per_second)


class Choice(StrEnum):
    """What is done with a contact that is due."""

    DIAL = "dial"
    DEFER = "defer"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A choice, why, and for a deferred contact until when."""

    choice: Choice
    reason: str
    due_at: datetime | None = None


def may_dial(*, is_on_do_not_call: bool, recent_attempts: Sequence[datetime], attempts_per_day: int | None) -> Verdict:
    """What to do with a contact that is due and inside its window.

    `recent_attempts` are the calls to its number within the last 24 h, of whichever batch, oldest first.
    """
    if is_on_do_not_call:
        return Verdict(Choice.DROP, DO_NOT_CALL)
    if attempts_per_day is not None and len(recent_attempts) >= attempts_per_day:
        return Verdict(Choice.DEFER, "attempts_per_day", recent_attempts[-attempts_per_day] + ATTEMPTS_SPAN)
    return Verdict(Choice.DIAL, "due")


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a contact: `pending` again at `due_at`, else final. `attempts` are those that count."""

    state: str
    attempts: int
    due_at: datetime
    pre_dial_failures: int = 0


def after_call(now: datetime, status: Status, reason: str | None, attempts: int, retry: Retry) -> Next:
    """The contact after a call of it ended; `attempts` includes that call."""
    if status is Status.CANCELED and reason in NOT_DIALLED:
        return Next("pending", attempts - 1, now)
    if status is Status.CANCELED and reason == PRE_DIAL_REFUSED:
        return Next(status.value, attempts - 1, now)
    if status.value in retry.on and attempts <= retry.max:
        return Next("pending", attempts, now + retry.delay)
    return Next(status.value, attempts, now)


def after_pre_dial_failure(now: datetime, attempts: int, failures: int, jitter: float | None = None) -> Next:
    """The contact after nobody said whether it may be called, `failures` times before; `attempts` includes this one.

    `jitter` in [0, 1) is random by default.
    """
    if failures + 1 >= PRE_DIAL_MAX_FAILURES:
        return Next(Status.FAILED.value, attempts - 1, now, failures + 1)
    base, cap = PRE_DIAL_WAIT.total_seconds(), PRE_DIAL_LONGEST_WAIT.total_seconds()
    wait = timedelta(seconds=backoff_seconds(failures, base=base, cap=cap, jitter=jitter))
    return Next("pending", attempts - 1, now + wait, failures + 1)


@dataclass(frozen=True, slots=True)
class Breaker:
    """The circuit breaker: the last results as `F` and `.`, and how often in a row it has opened.

    After it opened, one call at a time probes until one goes well.
    """

    recent: str
    trips: int
    blocked_for: timedelta | None = None

    @property
    def gives_up(self) -> bool:
        """It has opened so often that somebody has to look."""
        return self.trips >= BREAKER_MAX_TRIPS


def after_result(breaker: Breaker, fault: Fault, reason: str | None = None, *, is_blocked: bool) -> Breaker:
    """The breaker after one more call.

    Faults of carrier, provider or platform count as failures, and so does a customer's server that does not say whether
    to call. What ends while it `is_blocked` was begun before it opened and tells nothing new.
    """
    if is_blocked or reason in _TELLS_NOTHING:
        return Breaker(breaker.recent, breaker.trips)
    if fault not in _FAILURE_FAULTS and reason != PRE_DIAL_FAILED:
        return Breaker((breaker.recent + ".")[-BREAKER_WINDOW:], 0)
    recent = (breaker.recent + "F")[-BREAKER_WINDOW:]
    is_bad = len(recent) >= BREAKER_MIN and recent.count("F") >= BREAKER_SHARE * len(recent)
    if breaker.trips or is_bad:
        return Breaker("", breaker.trips + 1, BREAKER_PAUSE * 2**breaker.trips)
    return Breaker(recent, 0)
