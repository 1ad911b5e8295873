"""The state machine of a call."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.calls.domain import LIVE, TERMINAL, Status, allowed_before, outcome_of
from call_service.calls.errors import VariableMissingError
from call_service.calls.schemas import HistoryQuery
from call_service.calls.service import fill_agent
from tests.support.ended_calls import ended_call

ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"


@given(st.lists(st.sampled_from(Status), max_size=12))
def test_a_call_never_goes_back_and_ends_once(wishes: list[Status]) -> None:
    order = [Status.QUEUED, Status.INITIATED, Status.RINGING, Status.IN_PROGRESS]
    seen = [Status.QUEUED]
    for wish in wishes:
        if seen[-1] in allowed_before(wish):
            seen.append(wish)
    live = [status for status in seen if status in LIVE]
    assert live == sorted(set(live), key=order.index)
    assert sum(status in TERMINAL for status in seen) <= 1
    assert all(status in LIVE for status in seen[:-1])


def test_every_live_state_may_end_every_way() -> None:
    assert all(allowed_before(status) == LIVE for status in TERMINAL)


@pytest.mark.parametrize(
    ("cause", "status"),
    [
        ("callee_busy", Status.BUSY),
        ("no_answer", Status.NO_ANSWER),
        ("declined", Status.FAILED),
        ("invalid_number", Status.FAILED),
        ("something_new", Status.FAILED),
    ],
)
def test_the_cause_of_an_unanswered_leg_decides_the_status(cause: str, status: Status) -> None:
    outcome = outcome_of(cause, 486)
    assert outcome.status is status
    assert outcome.sip_code == 486


@pytest.mark.parametrize(("length", "seconds"), [(0.0, 0), (0.001, 1), (30.0, 30), (30.2, 31)])
def test_started_seconds_count_whole(length: float, seconds: int) -> None:
    answered = datetime(2026, 11, 25, 9, tzinfo=UTC)
    assert ended_call(ended_at=answered + timedelta(seconds=length)).seconds == seconds


def test_a_call_that_nobody_answered_has_no_length() -> None:
    assert ended_call(answered_at=None).seconds == 0


def test_the_other_party_depends_on_the_direction() -> None:
    assert ended_call().other_party == "+12025550100"
    assert ended_call(direction="inbound").other_party == "+12025550199"


def test_an_unfilled_placeholder_is_named() -> None:
    agent = {"systemInstruction": "Greet {{name}} about {{topic}}.", "firstMessage": "Hi {{name}}", "id": ID}
    with pytest.raises(VariableMissingError) as caught:
        fill_agent(agent, {"topic": "rain"})
    assert [error.field for error in caught.value.errors] == ["dynamicVariables.name"]
    filled = fill_agent(agent, {"topic": "rain", "name": "{{topic}}"})
    assert filled["systemInstruction"] == "Greet {{topic}} about rain."
    assert filled["id"] == ID


def history(**filters: str) -> HistoryQuery:
    return HistoryQuery.model_validate({"projectId": ID, **filters})


def test_history_dates_are_utc_days() -> None:
    assert history(startTime="2026-11-25").created == (
        datetime(2026, 11, 25, tzinfo=UTC),
        datetime(2026, 11, 26, tzinfo=UTC),
    )
    assert history(startTimeBefore="2026-11-25").created == (None, datetime(2026, 11, 26, tzinfo=UTC))
    assert history(endTimeAfter="2026-11-25").ended == (datetime(2026, 11, 25, tzinfo=UTC), None)


@given(*(st.none() | st.dates(date(2020, 1, 1), date(2030, 1, 1)) for _ in range(3)), st.dates())
def test_the_interval_is_exactly_what_all_filters_allow(
    day: date | None, before: date | None, after: date | None, moment: date
) -> None:
    filters = {"startTime": day, "startTimeBefore": before, "startTimeAfter": after}
    start, end = history(**{name: str(value) for name, value in filters.items() if value}).created
    at = datetime.combine(moment, datetime.min.time(), UTC) + timedelta(hours=12)
    is_inside = (start is None or at >= start) and (end is None or at < end)
    expected = (
        (day is None or moment == day) and (before is None or moment <= before) and (after is None or moment >= after)
    )
    assert is_inside is expected
