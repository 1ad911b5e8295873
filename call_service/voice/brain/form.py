"""The values of one call: what is open, what was given, how to ask for the next and how to read them back."""

from collections import Counter
from collections.abc import Iterable, Sequence

from call_service.spoken.numbers import digit_string
from call_service.voice.brain.asking import DAY, NAME, PEOPLE, TIME, Slot
from call_service.voice.brain.expects import Expects
from call_service.voice.brain.extraction import extract, only_asked, restated
from call_service.voice.brain.intents import after_correction, corrects
from call_service.voice.ports import Say

_MAX_MISSES = 2
_BOTH = "What day and time would suit you?"
_CLOSED = frozenset({"yes_no"})
_MISTAKEN = frozenset({"name", "day", "time", "number", "people"})
_GUESSABLE = ("people", "number", "time", "name")


class Form:
    """Fills slots, in any order. A question that failed twice is given up."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self.values: dict[str, str] = {}
        self._slots = {slot.key: slot for slot in slots}
        self._missed: Counter[str] = Counter()
        self._skipped: set[str] = set()

    def add(self, slots: Iterable[Slot]) -> None:
        """Ask for these too, after those that are there."""
        for slot in slots:
            self._slots.setdefault(slot.key, slot)

    def has(self, *keys: str) -> bool:
        """Is one of these wanted?"""
        return any(key in self._slots for key in keys)

    @property
    def open_slots(self) -> list[Slot]:
        """What is still to be asked for, in order."""
        return [slot for slot in self._slots.values() if slot.key not in self.values and self._may_ask(slot)]

    def _may_ask(self, slot: Slot) -> bool:
        wanted = slot.only_if is None or self.values.get(slot.only_if[0]) == slot.only_if[1]
        return wanted and slot.key not in self._skipped

    def question(self) -> tuple[Say, tuple[Slot, ...]]:
        """The next question, and the slots that it asks for."""
        first, *others = self.open_slots
        both = {slot.question for slot in (first, *others[:1])} == {DAY.question, TIME.question}
        asked = (first, others[0]) if both else (first,)
        return Say(_BOTH if both else first.question, _expects(first)), asked

    def matching(self, question: str) -> tuple[Slot, ...]:
        """The open slots that a question in somebody else's words asks for."""
        asks = question.lower()
        return tuple(
            slot
            for slot in self.open_slots
            if slot.question == question or (slot.label and f"your {slot.label}" in asks)
        )

    def fill(self, heard: str, asked: Sequence[Slot]) -> list[Slot]:
        """Take every value that `heard` holds. Returns the slots that are new or changed."""
        wanted = tuple(asked) if only_asked(tuple(asked)) else tuple(self._slots.values())
        corrected = after_correction(heard) if corrects(heard) else ""
        changed: list[Slot] = []
        for slot in wanted:
            if slot.key in self.values and not corrected:
                continue
            value = (self._value(slot, corrected, slot in asked) if slot.kind in _MISTAKEN else None) or self._value(
                slot, heard, slot in asked
            )
            changed += [slot] if value and self._set(slot, value) else []
        return changed

    def correct(self, heard: str) -> list[Slot]:
        """Take corrections of what was read back: any value that is named, else what a bare word may be."""
        said = after_correction(heard) or heard
        given = [slot for slot in self._slots.values() if slot.key in self.values]
        changed = [
            slot
            for slot in self._slots.values()
            if self._changes(slot, restated(slot, heard) or self._value(slot, said, False))
        ]
        if changed or said == heard or not said:
            return changed
        for kind in _GUESSABLE:
            slot = next((slot for slot in given if slot.kind == kind), None)
            if slot and self._changes(slot, self._value(slot, said, True)):
                return [slot]
        return []

    def _value(self, slot: Slot, heard: str, asked: bool) -> str | None:
        return extract(slot, heard, asked=asked, evening=PEOPLE.key in self._slots) if heard else None

    def _changes(self, slot: Slot, value: str | None) -> bool:
        return value is not None and self._set(slot, value)

    def _set(self, slot: Slot, value: str) -> bool:
        changed = self.values.get(slot.key) != value
        self.values[slot.key] = value
        return changed

    def focus(self, slots: Sequence[Slot]) -> None:
        """Ask for these, and no more for anything else."""
        self.skip(slot for slot in self.open_slots if slot not in slots)
        self.add(slots)

    def skip(self, asked: Iterable[Slot]) -> None:
        """Ask no more for these."""
        self._skipped.update(slot.key for slot in asked)

    def miss(self, asked: Sequence[Slot]) -> bool:
        """The question for these slots failed. True when it was the second time: they are skipped then."""
        self._missed.update(slot.key for slot in asked)
        exhausted = all(self._missed[slot.key] >= _MAX_MISSES for slot in asked)
        if exhausted:
            self.skip(asked)
        return exhausted

    @property
    def needs_reading_back(self) -> bool:
        """Is there a value that may have been misheard?"""
        return any(self._slots[key].kind not in _CLOSED for key in self.values)

    def read_back(self) -> str:
        """All values in one sentence: "Anna Miller, on Thursday, at 3 PM"."""
        return ", ".join(
            _spoken(self._slots[key], value)
            for key, value in self.values.items()
            if self._slots[key].kind not in _CLOSED
        )

    @property
    def first_name(self) -> str:
        """How to address the callee, or an empty string."""
        return self.values.get(NAME.key, "").split(" ")[0]


def _expects(slot: Slot) -> Expects:
    return "yes_no" if slot.kind == "yes_no" else "digits" if slot.kind in {"number", "digits"} else "open"


def _spoken(slot: Slot, value: str) -> str:
    match slot.kind:
        case "name":
            return value
        case "day":
            return value.lower() if value in {"Today", "Tomorrow", "Day after tomorrow"} else f"on {value}"
        case "time":
            return spoken_time(value)
        case "people":
            return f"{value} people" if value != "1" else "one person"
        case "number" | "digits":
            return f"{slot.label} {' '.join(digit_string(value))}"
        case _:
            return f"{slot.label}: {value}" if slot.label else value


def spoken_time(value: str) -> str:
    """How a time is said: "15:30" is "at 3:30 PM", "morning" is "in the morning"."""
    if ":" not in value:
        return value if value == "any time" else f"in the {value}"
    hour, minute = (int(part) for part in value.split(":"))
    if minute == 0 and hour in {0, 12}:
        return "at noon" if hour else "at midnight"
    minutes = f":{minute:02}" if minute else ""
    return f"at {hour % 12 or 12}{minutes} {'PM' if hour >= 12 else 'AM'}"
