"""Gets the value of a slot out of an utterance."""

import re

from call_service.spoken.answers import yes_or_no
from call_service.spoken.names import name_in
from call_service.spoken.numbers import digit_string, quantities
from call_service.spoken.when import day_in, time_in
from call_service.spoken.words import plain
from call_service.voice.brain.asking import Slot
from call_service.voice.brain.intents import is_done, says_goodbye

_PHONE_DIGITS, _ASKED_PHONE_DIGITS, _REFERENCE_DIGITS, _MAX_DIGITS = 7, 6, 3, 20
_NUMBER = r"(\d{1,3}|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|fifteen|twenty)"
_PEOPLE = re.compile(
    rf"\b{_NUMBER} (?:people|persons?|guests?|of us|adults|diners)\b|\b(?:party|group|table) (?:of|for) {_NUMBER}\b|"
    rf"\b(?:we are|we're|there are|there will be|we'll be|we will be|for) {_NUMBER}\b(?! (?:o'clock|pm|am|"
    rf"thirty|fifteen|days|minutes|hours|weeks))"
)
_ALONE = re.compile(r"\b(just me|only me|just myself|by myself|on my own|just the one)\b")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_FILLER = re.compile(
    r"^(?:(?:yes|yeah|well|so|um|uh|oh|okay|ok|sure|it's|it is|that's|that is|that would be|please|hi|hello)[,. ]+)+",
    re.IGNORECASE,
)
_ORDERED = re.compile(
    r"\b(?:order|have|get)\s+(?P<order>(?:an?|one|two|three|four|five|six|some|the|\d+)\s.+?)(?:,? please)?[.!?]*$",
    re.IGNORECASE,
)
_FREE = frozenset({"text", "email", "digits", "quantity", "date", "order"})
_MAX_TEXT = 300


def extract(slot: Slot, heard: str, *, asked: bool, evening: bool = False) -> str | None:
    """The value that `heard` holds for `slot`, or None. Values without a form of their own count only when `asked`."""
    match slot.kind:
        case "name":
            value = name_in(heard, asked=asked)
        case "day":
            value = day_in(heard, asked=asked)
        case "time":
            value = time_in(heard, asked=asked, evening=evening)
        case "number":
            value = _phone(heard, _ASKED_PHONE_DIGITS if asked else _PHONE_DIGITS)
        case "people":
            value = _people(heard, asked=asked)
        case "order" if ordered := _ORDERED.search(heard):
            value = ordered["order"][:_MAX_TEXT]
        case _:
            value = _asked_value(slot, heard) if asked else None
    return value


def only_asked(asked: tuple[Slot, ...]) -> bool:
    """Free answers ("since Monday") hold no other values: nothing else is looked for in them."""
    return any(slot.kind in _FREE for slot in asked)


def restated(slot: Slot, heard: str) -> str | None:
    """The value in "the address is 5 Oak Street"."""
    if not slot.label:
        return None
    match = re.search(
        rf"\b{re.escape(slot.label)}\b.*?\b(?:is|should be|would be|to)\s+(?P<value>.+)", heard, re.IGNORECASE
    )
    return match["value"].strip(" .!")[:_MAX_TEXT] or None if match else None


def _asked_value(slot: Slot, heard: str) -> str | None:
    match slot.kind:
        case "yes_no":
            answer = None if says_goodbye(heard) and is_done(heard) else yes_or_no(heard)
            value = None if answer is None else ("yes" if answer else "no")
        case "choice":
            chosen = [option for option in slot.options if re.search(rf"\b{re.escape(option.lower())}\b", plain(heard))]
            value = chosen[0] if len(chosen) == 1 else None
        case "email":
            value = _email(heard)
        case "digits":
            value = _reference(heard)
        case "quantity":
            value = next((f"{found:g}" for found in reversed(quantities(heard))), None)
        case "date" if not (re.search(r"\d", heard) or day_in(heard, asked=True)):
            value = None
        case _:
            value = _FILLER.sub("", heard).strip(" .!")[:_MAX_TEXT] or None
    return value


def _reference(heard: str) -> str | None:
    """Digits; with letters among them ("policy A B 123") as they were said."""
    digits = digit_string(heard)
    if len(digits) < _REFERENCE_DIGITS:
        return None
    lettered = re.search(r"\b(?!I\b|a\b)[A-Za-z]\b|\b[A-Z]{2,}\b|\d[A-Za-z]|[A-Za-z]\d", heard)
    return _FILLER.sub("", heard).strip(" .!")[:_MAX_TEXT] if lettered else digits[:_MAX_DIGITS]


def _phone(heard: str, least: int) -> str | None:
    digits = digit_string(heard)
    return digits if least <= len(digits) <= _MAX_DIGITS else None


def _people(heard: str, *, asked: bool) -> str | None:
    said = plain(heard)
    if _ALONE.search(said):
        return "1"
    match = _PEOPLE.search(said)
    found = (
        quantities(next(group for group in match.groups() if group)) if match else quantities(heard) if asked else []
    )
    return f"{found[0]:g}" if len(found) == 1 and 1 <= found[0] <= 999 else None


def _email(heard: str) -> str | None:
    said = re.sub(r"\s+(?:at)\s+", "@", re.sub(r"\s+(?:dot|point)\s+", ".", heard.lower().strip(" .!")))
    said = re.sub(r"\s+(?:underscore)\s+", "_", re.sub(r"\s+(?:dash|hyphen)\s+", "-", said))
    match = _EMAIL.search(said)
    return match[0] if match else None
