"""Makes what was written to the agent into what it can say to the person on the phone."""

import re
from functools import partial

_DAYS = {
    "mon": "Monday", "tue": "Tuesday", "tues": "Tuesday", "wed": "Wednesday", "thu": "Thursday", "thur": "Thursday",
    "thurs": "Thursday", "fri": "Friday", "sat": "Saturday", "sun": "Sunday",
}  # fmt: skip
_DAY = re.compile(rf"\b({'|'.join(sorted(_DAYS, key=len, reverse=True))})\b\.?", re.IGNORECASE)
_RANGE = re.compile(r"(?<=[\dmyM])\s?[-\N{EN DASH}\N{EM DASH}]\s?(?=\$?\d(?!\d{2})|[MTWFS][a-z]+day)")
_HALF_DAY = re.compile(r"(?<=\d)\s?([ap])\.?m\b\.?", re.IGNORECASE)
_FULL_HOUR = re.compile(r"\b(\d{1,2}):00\b")
_SLASH = re.compile(r"(?<=[a-z]{2})\s?/\s?(?=[a-z])", re.IGNORECASE)
_EMOTICON = re.compile(r"[:;]-?[)(DP](?!\w)|[^\w\s.,;:!?'\"()$€£%&@#+/|>=*-]|(?<=[!?])[!?]+")
_ARROWS = re.compile(r"\s*(?:->|=>|→|\|)\s*")

_SELF = [
    (r"\byou are\b|\byou're\b", "we are"), (r"\byou were\b", "we were"), (r"\byou have\b|\byou've\b", "we have"),
    (r"\byourself\b", "ourselves"), (r"\byours\b", "ours"), (r"\byour\b", "our"), (r"\byou\b", "we"),
]  # fmt: skip
_PERSON = (
    r"(?:the|our|your|each|every) (?:customer|caller|callee|patient|client|guest|user|member|person|recipient|"
    r"contact|tenant|lead)"
)
_PEOPLE = rf"(?:{_PERSON}s|them)"
_OTHER = [
    (rf"\b{_PERSON}'s\b|\b{_PEOPLE}'\b|\b(?:their|his or her|his/her)\b", "your"),
    (rf"\b(?:{_PERSON}|he or she|she or he|he/she) (?:is|was)\b", "you are"),
    (rf"\b(?:{_PERSON}|he or she|he/she) has\b", "you have"),
    (rf"\b(?:{_PERSON}|he or she|he/she) does\b", "you do"),
    (rf"\b(?:{_PERSON}|he or she|he/she) (?P<verb>(?!was|is|has)[a-z]{{3,}})s\b", r"you \g<verb>"),
    (r"\b(?:she|he)(?:'s| is| was)\b", "you are"), (r"\b(?:she|he) has\b", "you have"),
    (r"\b(?:she|he) (?P<verb>(?!was|is|has)[a-z]{3,})s\b", r"you \g<verb>"), (r"\b(?:she|he|him)\b", "you"),
    (r"\bhis\b|\bher(?= (?!or\b|on\b|at\b|to\b|better|that|about|whether|if\b)\w)", "your"), (r"\bher\b", "you"),
    (r"\bthey're\b", "you're"), (rf"\b(?:{_PEOPLE}|{_PERSON}|they)\b", "you"), (r"\btheirs\b", "yours"),
    (r"\bthemselves\b", "yourself"),
]  # fmt: skip


def for_speech(text: str) -> str:
    """Short forms written out: "Mon-Fri 9-5" becomes "Monday to Friday 9 to 5", "9am" becomes "9 AM"."""
    text = _SLASH.sub(" or ", _EMOTICON.sub("", text))
    text = _HALF_DAY.sub(lambda match: f" {match[1].upper()}M", text)
    text = _RANGE.sub(" to ", _DAY.sub(_full_day, _ARROWS.sub(", ", text)))
    return " ".join(_FULL_HOUR.sub(r"\1", text).replace("&", "and").split())


def _full_day(match: re.Match[str]) -> str:
    """The full name. "Sun" and "Sat" are also words: only as capitalised they are days."""
    return _DAYS[match[1].lower()] if match[1][0].isupper() else match[0]


def as_business(text: str) -> str:
    """Second person about the agent's side becomes first person: "You are open on your site" → "We are open …"."""
    return _replaced(text, _SELF)


def to_callee(text: str) -> str:
    """What is about the callee is said to them: "their invoice is overdue" → "your invoice is overdue"."""
    return _replaced(text, _OTHER)


def sentence(text: str) -> str:
    """`text` with a capital first and a full stop last."""
    text = text.strip().strip("\"'").rstrip(",;:")
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _replaced(text: str, rules: list[tuple[str, str]]) -> str:
    """All rules in one pass over the text each, on marked places so that a replacement is not replaced again."""
    for pattern, replacement in rules:
        text = re.sub(pattern, partial(_marked, replacement), text, flags=re.IGNORECASE)
    return text.replace("\0", "")


def _marked(replacement: str, match: re.Match[str]) -> str:
    new = match.expand(replacement)
    capital = match[0][0].isupper()
    return "".join(f"{letter}\0" for letter in (new[0].upper() + new[1:] if capital else new))
