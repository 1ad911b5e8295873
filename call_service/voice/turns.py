"""What was said so far, in the order in which it was begun."""

from bisect import insort
from dataclasses import dataclass

from call_service.voice.options import TurnTimings
from call_service.voice.ports import Turn


@dataclass(frozen=True, slots=True)
class _Entry:
    turn: Turn
    timings: TurnTimings


class TurnLog:
    """The turns of one call, and which of the callee's the agent has not answered yet."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []
        self._unanswered: list[Turn] = []

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All turns by their start."""
        return tuple(entry.turn for entry in self._entries)

    @property
    def timings(self) -> tuple[TurnTimings, ...]:
        """One for each of `turns`."""
        return tuple(entry.timings for entry in self._entries)

    @property
    def was_cut(self) -> bool:
        """Was the agent interrupted, and nothing understood since?"""
        return bool(self._entries) and self._entries[-1].turn.interrupted

    def add(self, turn: Turn, timings: TurnTimings) -> None:
        """Insert a turn at its place in time."""
        insort(self._entries, _Entry(turn, timings), key=lambda entry: entry.turn.start_ms)

    def ask(self, turn: Turn) -> tuple[str, tuple[Turn, ...]]:
        """The callee said `turn`: the text to answer, with what an interrupted reply left open, and the history."""
        self._unanswered.append(turn)
        history = tuple(said for said in self.turns if said not in self._unanswered)
        return " ".join(said.text for said in self._unanswered), history

    def answered(self) -> None:
        """The agent replied audibly to all of it."""
        self._unanswered.clear()
