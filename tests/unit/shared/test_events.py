from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.events import Event
from shared.testing.events import make_event

TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # JSON has no lone surrogates
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)


@given(
    name=st.lists(WORDS, min_size=2, max_size=4).map(".".join),
    time=st.datetimes(timezones=st.just(UTC)),
    sequence=st.integers(1, 2**62),
    project_id=st.none() | TEXT,
    data=st.dictionaries(TEXT, VALUES, max_size=4),
)
def test_an_event_survives_the_wire(
    name: str, time: datetime, sequence: int, project_id: str | None, data: dict[str, Any]
) -> None:
    event = make_event(name, time=time, sequence=sequence, project_id=project_id, data=data)
    assert Event.from_bytes(event.to_bytes()) == event


def test_times_are_utc_with_milliseconds() -> None:
    local = datetime(2026, 11, 25, 10, 0, 0, 123_999, tzinfo=timezone(timedelta(hours=1)))
    wire = orjson.loads(make_event(time=local).to_bytes())
    assert wire["time"] == "2026-11-25T09:00:00.123Z"


def test_the_wire_carries_exactly_the_envelope() -> None:
    wire = orjson.loads(make_event().to_bytes())
    assert list(wire) == ["id", "type", "time", "source", "subject", "tenant", "project_id", "sequence", "data"]


def test_a_field_of_a_newer_publisher_is_ignored() -> None:
    event = make_event()
    body = orjson.dumps({**orjson.loads(event.to_bytes()), "from_the_future": 1})
    assert Event.from_bytes(body) == event


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "7"},
        {"type": "call"},
        {"type": "Call.Ended"},
        {"type": "call.*"},
        {"type": "a." + "b" * 254},
        {"time": "2026-11-25T09:00:00"},
        {"sequence": 0},
        {"data": []},
        {"tenant": None},
    ],
)
def test_what_breaks_the_envelope_is_refused(changes: dict[str, Any]) -> None:
    body = orjson.dumps({**orjson.loads(make_event().to_bytes()), **changes})
    with pytest.raises(ValueError, match=next(iter(changes))):
        Event.from_bytes(body)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[]", b"null", b"{}"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - both parsers' own errors are ValueErrors
        Event.from_bytes(body)
