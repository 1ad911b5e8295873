"""An offline checker over what was observed of calls, after https://github.com/jepsen-io/jepsen: faults are made while
a history is recorded, and afterwards it is asked whether anything happened that never may.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from project_service.webhooks.events import BINDINGS

ORDER = ("queued", "initiated", "ringing", "in-progress")
ENDED, COMPLETED = "call.ended", "call.completed"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The API answered a request with success."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Dialled:
    """The carrier was asked to dial."""

    call_id: str


@dataclass(frozen=True, slots=True)
class Happened:
    """An event was seen, by whatever way; `status` is the call's as of it, None where the event has none."""

    call_id: str
    sequence: int
    type: str
    status: str | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """A webhook's receiver took an event, or (`is_parked`) it was given up for now and can be replayed."""

    call_id: str
    sequence: int
    is_parked: bool = False


Entry = Accepted | Dialled | Happened | Delivered


def violations(history: Iterable[Entry], *, with_webhooks: bool = False) -> list[str]:
    """What must never be, as sentences; empty for a sound history that is over.

    The order of the history counts for dials only: events may be seen late, twice and in any order.
    """
    of_call: dict[str, list[Entry]] = defaultdict(list)
    for entry in history:
        of_call[entry.call_id].append(entry)
    return [
        f"{call_id}: {problem}" for call_id, entries in of_call.items() for problem in _problems(entries, with_webhooks)
    ]


def _problems(entries: Sequence[Entry], with_webhooks: bool) -> Iterator[str]:
    events = sorted({entry for entry in entries if isinstance(entry, Happened)}, key=lambda event: event.sequence)
    if not any(isinstance(entry, Accepted) for entry in entries):
        yield "was never accepted"
    yield from _dials(entries)
    yield from _sequence(events)
    yield from _ends(events)
    yield from _ways_back(events)
    if with_webhooks:
        yield from _webhooks(entries, events)


def _dials(entries: Sequence[Entry]) -> Iterator[str]:
    dials = sum(isinstance(entry, Dialled) for entry in entries)
    if dials > 1:
        yield f"was dialled {dials} times"


def _sequence(events: Sequence[Happened]) -> Iterator[str]:
    numbers = [event.sequence for event in events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"has events {numbers}"


def _ends(events: Sequence[Happened]) -> Iterator[str]:
    types = Counter(event.type for event in events)
    if types[ENDED] != 1:
        yield f"ended {types[ENDED]} times"
    if types[COMPLETED] != 1 or events[-1].type != COMPLETED:
        yield "does not close with its one call.completed"


def _ways_back(events: Sequence[Happened]) -> Iterator[str]:
    states = [event.status for event in events if event.status is not None]
    for before, after in pairwise(states):
        if before not in ORDER and after != before:
            yield f"went from {before} to {after}"
        elif before in ORDER and after in ORDER and ORDER.index(after) < ORDER.index(before):
            yield f"went back from {before} to {after}"


def _webhooks(entries: Sequence[Entry], events: Sequence[Happened]) -> Iterator[str]:
    settled = {entry.sequence for entry in entries if isinstance(entry, Delivered)}
    for event in events:
        if event.type in BINDINGS and event.sequence not in settled:
            yield f"event {event.sequence} was neither delivered nor parked"
