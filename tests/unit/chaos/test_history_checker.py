"""The checker accepts every history that may be, and finds every kind of fault in it."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.history import (
    COMPLETED,
    ENDED,
    ORDER,
    Accepted,
    Delivered,
    Dialled,
    Entry,
    Happened,
    violations,
)

ENDS = ["completed", "busy", "no-answer", "failed", "canceled", "voicemail", "silence"]
TYPES = dict(zip(ORDER, ("call.queued", "call.initiated", "call.ringing", "call.answered"), strict=True))


@st.composite
def calls(draw: st.DrawFn, shortest: int = 1) -> list[Entry]:
    """One call from its acceptance to its completion, in order, dialled when its intent was committed or never."""
    call_id = draw(st.uuids().map(str))
    reached = draw(st.integers(shortest, len(ORDER)))
    end = draw(st.sampled_from(ENDS))
    turns = draw(st.integers(0, 3)) if reached == len(ORDER) else 0
    steps = [(TYPES[state], state) for state in ORDER[:reached]]
    steps += [("call.turn", None)] * turns + [(ENDED, end), (COMPLETED, end)]
    entries: list[Entry] = [Accepted(call_id)]
    for sequence, (type_, status) in enumerate(steps, 1):
        entries.append(Happened(call_id, sequence, type_, status))
        if type_ == "call.initiated" and draw(st.booleans()):
            entries.append(Dialled(call_id))
        if type_ != "call.turn":
            entries.append(Delivered(call_id, sequence, is_parked=draw(st.booleans())))
    return entries


@st.composite
def histories(draw: st.DrawFn) -> list[Entry]:
    """Several calls in any order, some things seen twice."""
    entries = [entry for call in draw(st.lists(calls(), min_size=1, max_size=4)) for entry in call]
    seen_again = draw(
        st.lists(st.sampled_from([entry for entry in entries if isinstance(entry, Happened)]), max_size=5)
    )
    return draw(st.permutations(entries + seen_again))


@given(histories())
def test_a_sound_history_has_no_violation(history: list[Entry]) -> None:
    assert violations(history, with_webhooks=True) == []


def an_event(history: list[Entry], type_: str) -> Happened:
    return next(entry for entry in history if isinstance(entry, Happened) and entry.type == type_)


def without(history: list[Entry], lost: Entry) -> list[Entry]:
    return [entry for entry in history if entry != lost]


FAULTS: dict[str, Callable[[list[Entry]], list[Entry]]] = {
    "times": lambda history: [*history, *[Dialled(history[0].call_id)] * 2],
    "never accepted": lambda history: without(history, Accepted(history[0].call_id)),
    "has events": lambda history: without(history, an_event(history, "call.queued")),
    "ended 0 times": lambda history: without(history, an_event(history, ENDED)),
    "ended 2 times": lambda history: [*history, replace(an_event(history, ENDED), sequence=99)],
    "call.completed": lambda history: without(history, an_event(history, COMPLETED)),
    "went back": lambda history: [
        replace(entry, status="in-progress") if _is(entry, "call.queued") else entry for entry in history
    ],
    "went from": lambda history: [
        replace(entry, status="ringing") if _is(entry, COMPLETED) else entry for entry in history
    ],
    "neither delivered": lambda history: [entry for entry in history if not isinstance(entry, Delivered)],
}


def _is(entry: Entry, type_: str) -> bool:
    return isinstance(entry, Happened) and entry.type == type_


@pytest.mark.parametrize("found", FAULTS)
@given(call=calls(shortest=2))
def test_every_fault_is_found(found: str, call: list[Entry]) -> None:
    assert any(found in problem for problem in violations(FAULTS[found](call), with_webhooks=True))


def test_a_call_that_was_accepted_and_never_heard_of_is_lost() -> None:
    assert violations([Accepted("a")]) == ["a: ended 0 times", "a: does not close with its one call.completed"]


def test_webhooks_count_where_there_are_some() -> None:
    history: list[Entry] = [Accepted("a"), Happened("a", 1, ENDED, "failed"), Happened("a", 2, COMPLETED, "failed")]
    assert violations(history) == []
    assert len(violations(history, with_webhooks=True)) == 2
