"""What a batch may do next, as pure functions."""

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.batches import rules
from call_service.batches.domain import Batch, BatchStatus, Retry
from call_service.batches.rules import Breaker, Choice
from call_service.calls.domain import TERMINAL, Fault, Status
from call_service.capacity.domain import spacing, starts

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
FAULTS: tuple[Fault, ...] = ("callee", "agent", "tenant", "provider", "carrier", "platform", "none")
COST = Decimal("0.60")


def batch(**changes: Any) -> Batch:
    plain = Batch(
        id="b",
        tenant="t",
        project_id="p",
        agent_id="a",
        agent_version=1,
        agent={},
        from_number="+12025550199",
        file_name="people.csv",
        status=BatchStatus.RUNNING,
        status_reason=None,
        total=10,
        accepted=10,
        finished=0,
        active=0,
        spent=Decimal(0),
        schedule_at=NOW,
        calling_window=None,
        retry=Retry(),
        max_concurrency=None,
        calls_per_second=None,
        attempts_per_day=None,
        budget=None,
        pre_dial_url=None,
        next_dial_at=NOW,
        blocked_until=NOW,
        recent="",
        trips=0,
        created_at=NOW,
        started_at=None,
        completed_at=None,
    )
    return replace(plain, **changes)


@given(
    st.integers(0, 100),
    st.integers(0, 50),
    st.none() | st.integers(1, 50),
    st.none() | st.decimals(0, 100, places=2),
    st.decimals(0, 100, places=2),
)
def test_the_allowance_keeps_every_limit(
    limit: int, active: int, concurrency: int | None, budget: Decimal | None, spent: Decimal
) -> None:
    known = batch(active=active, max_concurrency=concurrency, budget=budget, spent=spent)
    allowed = rules.allowance(known, limit, COST)
    assert 0 <= allowed <= limit
    if allowed:
        assert concurrency is None or active + allowed <= concurrency
        assert budget is None or spent + (active + allowed) * COST <= budget
    if budget is not None and rules.is_budget_spent(known, COST):
        assert allowed == 0


def test_a_free_call_needs_no_budget() -> None:
    for budget in (Decimal("0.01"), Decimal(0)):
        assert rules.allowance(batch(budget=budget), 5, Decimal(0)) == 5
        assert not rules.is_budget_spent(batch(budget=budget), Decimal(0))


def test_what_vendors_cost_ends_a_budget_where_the_carrier_is_free() -> None:
    """It did nothing: the batch called on, whatever it had spent."""
    budget, free = Decimal("0.50"), Decimal(0)
    below = batch(budget=budget, spent=Decimal("0.49"))
    assert (rules.allowance(below, 5, free), rules.is_budget_spent(below, free)) == (5, False)
    for spent in (budget, Decimal("0.51")):
        known = batch(budget=budget, spent=spent)
        assert (rules.allowance(known, 5, free), rules.is_budget_spent(known, free)) == (0, True)
        live = batch(budget=budget, spent=spent, active=1)
        assert (rules.allowance(live, 5, free), rules.is_budget_spent(live, free)) == (0, False)


def test_an_open_breaker_lets_one_call_probe() -> None:
    assert rules.allowance(batch(trips=1), 5, COST) == 1
    assert rules.allowance(batch(trips=1, active=1), 5, COST) == 0


@given(st.floats(0.01, 100), st.lists(st.floats(0, 3), max_size=30), st.integers(1, 20))
def test_the_pace_of_a_batch_is_kept(per_second: float, waits: list[float], wanted: int) -> None:
    """However irregularly a worker looks, starts are spaced."""
    known, now = batch(calls_per_second=per_second, next_dial_at=NOW - timedelta(hours=1)), NOW
    begun: list[datetime] = []
    for wait in waits:
        found = starts(now, wanted, rules.paces(known), known.next_dial_at)
        begun += found
        known = replace(known, next_dial_at=rules.next_dial_at(known, found))
        now += timedelta(seconds=wait)
    for earlier, later in itertools.pairwise(begun):
        assert later - earlier >= spacing(per_second)


def test_a_batch_without_a_pace_has_none() -> None:
    assert rules.paces(batch()) == []
    assert rules.next_dial_at(batch(), [NOW + timedelta(seconds=9)]) == NOW


@given(
    st.booleans(), st.lists(st.timedeltas(timedelta(0), timedelta(hours=23)), max_size=6), st.none() | st.integers(1, 5)
)
def test_may_dial(is_listed: bool, ages: list[timedelta], per_day: int | None) -> None:
    attempts = sorted(NOW - age for age in ages)
    verdict = rules.may_dial(is_on_do_not_call=is_listed, recent_attempts=attempts, attempts_per_day=per_day)
    if is_listed:
        assert verdict == rules.Verdict(Choice.DROP, "do_not_call")
    elif per_day is None or len(attempts) < per_day:
        assert verdict.choice is Choice.DIAL
    else:
        assert verdict.choice is Choice.DEFER
        assert verdict.due_at is not None
        later = [attempt for attempt in attempts if attempt > verdict.due_at - rules.ATTEMPTS_SPAN]
        assert verdict.due_at > NOW
        assert len(later) < per_day  # when its time has come, one more fits


RETRY = Retry(on=("busy", "no-answer"), max=2, delay_minutes=30)


@pytest.mark.parametrize(
    ("status", "reason", "attempts", "state", "counted", "wait"),
    [
        (Status.BUSY, "callee_busy", 1, "pending", 1, 30),
        (Status.NO_ANSWER, "no_answer", 2, "pending", 2, 30),
        (Status.BUSY, "callee_busy", 3, "busy", 3, 0),
        (Status.VOICEMAIL, "voicemail_detected", 1, "voicemail", 1, 0),
        (Status.COMPLETED, "callee_hung_up", 1, "completed", 1, 0),
        (Status.FAILED, "outcome_unknown", 1, "failed", 1, 0),
        (Status.FAILED, "worker_lost", 1, "failed", 1, 0),
        (Status.CANCELED, "batch_paused", 1, "pending", 0, 0),
        (Status.CANCELED, "outside_window", 3, "pending", 2, 0),
        (Status.CANCELED, "do_not_call", 1, "canceled", 1, 0),
        (Status.CANCELED, "canceled_by_api", 1, "canceled", 1, 0),
        (Status.CANCELED, "pre_dial_refused", 2, "canceled", 1, 0),
    ],
)
def test_after_a_call(status: Status, reason: str, attempts: int, state: str, counted: int, wait: int) -> None:
    step = rules.after_call(NOW, status, reason, attempts, RETRY)
    assert step == rules.Next(state, counted, NOW + timedelta(minutes=wait))


@given(
    st.sampled_from(sorted(TERMINAL)), st.integers(0, 3), st.lists(st.sampled_from(["busy", "no-answer", "voicemail"]))
)
def test_a_contact_is_dialled_at_most_once_more_than_retries_allow(status: Status, limit: int, on: list[Any]) -> None:
    retry = Retry(on=tuple(on), max=limit)
    attempts, state = 0, "pending"
    while state == "pending":
        attempts += 1
        state = rules.after_call(NOW, status, "callee_busy", attempts, retry).state
    assert attempts == (1 + limit if status.value in on else 1)


@given(st.lists(st.tuples(st.sampled_from(FAULTS), st.booleans()), max_size=80))
def test_the_breaker_opens_on_bad_luck_only(results: list[tuple[Fault, bool]]) -> None:
    breaker = Breaker("", 0)
    for fault, is_blocked in results:
        before = breaker
        breaker = rules.after_result(breaker, fault, is_blocked=is_blocked)
        assert len(breaker.recent) <= rules.BREAKER_WINDOW
        if breaker.blocked_for is not None:
            assert not is_blocked
            assert fault in {"carrier", "platform", "provider"}
            assert before.trips or (before.recent + "F").count("F") * 2 >= rules.BREAKER_MIN
            assert breaker.trips == before.trips + 1
        if fault == "callee" and not is_blocked:
            assert breaker.trips == 0


@pytest.mark.parametrize(
    ("failures", "jitter", "minutes"), [(0, 0.0, 0.5), (0, 1.0, 1), (1, 1.0, 2), (2, 0.0, 2), (3, 1.0, 8)]
)
def test_a_question_without_an_answer_is_asked_again_later(failures: int, jitter: float, minutes: float) -> None:
    step = rules.after_pre_dial_failure(NOW, 3, failures, jitter)
    assert step == rules.Next("pending", 2, NOW + timedelta(minutes=minutes), failures + 1)


def test_a_question_is_not_asked_for_ever() -> None:
    last = rules.PRE_DIAL_MAX_FAILURES - 1
    assert rules.after_pre_dial_failure(NOW, 1, last) == rules.Next("failed", 0, NOW, last + 1)


@pytest.mark.parametrize(
    "reason", ["batch_paused", "outside_window", "do_not_call", "canceled_by_api", "pre_dial_refused"]
)
def test_what_was_not_dialled_neither_opens_the_breaker_nor_closes_it(reason: str) -> None:
    for known in (Breaker("FF.", 0), Breaker("", 2)):
        assert rules.after_result(known, "none", reason, is_blocked=False) == known


def test_a_server_that_does_not_answer_opens_the_breaker() -> None:
    breaker = Breaker("F" * 9, 0)
    assert rules.after_result(breaker, "tenant", "pre_dial_failed", is_blocked=False).trips == 1


def test_the_breaker_waits_longer_each_time_and_then_gives_up() -> None:
    breaker, waits = Breaker("F" * 9, 0), []
    while not breaker.gives_up:
        breaker = rules.after_result(breaker, "carrier", is_blocked=False)
        assert breaker.blocked_for is not None
        waits.append(breaker.blocked_for.total_seconds())
    assert waits == [60, 120, 240, 480, 960]


def test_a_busy_callee_is_no_failure() -> None:
    breaker = Breaker("", 0)
    for _ in range(50):
        breaker = rules.after_result(breaker, "callee", is_blocked=False)
    assert breaker == Breaker("." * 20, 0)
