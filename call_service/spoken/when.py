"""Days and times as people say them."""

import re
from difflib import get_close_matches

from call_service.spoken.numbers import TENS, UNITS
from call_service.spoken.words import plain, words

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_SHORT_DAYS = {
    "mon": "monday", "tue": "tuesday", "tues": "tuesday", "wed": "wednesday", "thu": "thursday", "thur": "thursday",
    "thurs": "thursday", "fri": "friday",
}  # fmt: skip
_ORDINAL_WORDS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
    "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth",
    "twentieth",
)  # fmt: skip
_ORDINALS = {word: number for number, word in enumerate(_ORDINAL_WORDS, 1)} | {"thirtieth": 30}
_DAY_NUMBER = rf"(?:\d{{1,2}}(?:st|nd|rd|th)?|(?:twenty |thirty )?(?:{'|'.join(_ORDINALS)})|{'|'.join(UNITS)})"
_MONTH = rf"(?:{'|'.join(MONTHS)})"
_DATE = re.compile(
    rf"\b(?P<month>{_MONTH}) (?:the )?(?P<day>{_DAY_NUMBER})\b|\b(?P<day2>{_DAY_NUMBER}) (?:of )?(?P<month2>{_MONTH})\b"
)
_DAY_OF_MONTH = re.compile(
    rf"\bthe (\d{{1,2}}(?:st|nd|rd|th)|(?:twenty |thirty )?(?:{'|'.join(_ORDINALS)}))\b(?! (?:one|time))"
)
_RELATIVE = re.compile(r"\b(day after tomorrow|tomorrow|today|tonight|next week|next month|this week)\b")

_HOURS = {word: number for word, number in UNITS.items() if 1 <= number <= 12}
_HOUR = rf"\d{{1,2}}|{'|'.join(_HOURS)}"
_MINUTE_WORDS = {word: number for word, number in (UNITS | TENS).items() if 10 <= number < 60}
_MINUTE = rf"[0-5]\d|(?:twenty|thirty|forty|fifty) five|oh five|{'|'.join(_MINUTE_WORDS)}"
_TIME = re.compile(
    rf"(?:\b(?P<lead>at|around|about|by|after|before|from) )?(?:\b(?P<shift>half past|half|quarter past|quarter to) )?"
    rf"\b(?P<hour>{_HOUR})(?:(?P<sep>[:. ])(?P<minute>{_MINUTE}))?"
    r"(?: ?(?P<part>am|pm)\b| (?P<clock>o'clock|oclock)\b)?\b(?! (?:people|persons?|guests?|of us|adults|"
    r"children|kids|street|"
    r"avenue|road|\d))"
)
_PART = re.compile(r"\b(morning|noon|afternoon|evening|night|tonight)\b")
_FIXED = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}
_ANY_TIME = re.compile(r"\b(any ?time|whenever|does(n't| not) matter|i'm flexible)\b")


def day_in(text: str, *, asked: bool = False) -> str | None:
    """The day that is named: "Thursday", "Next Friday", "Tomorrow", "May 5". `asked` also takes "the fifth"."""
    said = plain(text)
    relative = _RELATIVE.search(said)
    parts = [part for part in (_weekday(said), _date(said)) if part]
    if not parts and relative:
        parts = ["Today" if relative[1] == "tonight" else relative[1].capitalize()]
    if not parts and asked:
        of_month = _DAY_OF_MONTH.search(said)
        parts = [f"the {_day_number(of_month[1])}."] if of_month else []
    return ", ".join(parts).rstrip(".") or None


def _weekday(said: str) -> str | None:
    tokens = words(said)
    for index, token in enumerate(tokens):
        day = _SHORT_DAYS.get(token) or next(iter(_close_weekday(token)), None)
        if day:
            coming = index > 0 and tokens[index - 1] == "next"
            return f"Next {day.capitalize()}" if coming else day.capitalize()
    return None


def _close_weekday(token: str) -> list[str]:
    """Recognition writes "thirsday" or "wensday"; 0.8 keeps "holiday", "money" and "today" out."""
    return get_close_matches(token.removesuffix("s"), WEEKDAYS, n=1, cutoff=0.8) if len(token) >= 5 else []


def _date(said: str) -> str | None:
    match = _DATE.search(said)
    if not match:
        return None
    number = _day_number(match["day"] or match["day2"])
    month = (match["month"] or match["month2"]).capitalize()
    return f"{month} {number}" if 1 <= number <= 31 else None


def _day_number(said: str) -> int:
    digits = re.match(r"\d+", said)
    if digits:
        return int(digits[0])
    return sum(_ORDINALS.get(word) or TENS.get(word) or UNITS.get(word, 0) for word in said.split())


def time_in(text: str, *, asked: bool = False, evening: bool = False) -> str | None:
    """The time that is named, as "15:00"; "morning", "afternoon", "evening" or "any time" when that is all (`asked`).

    Without "am" or "pm" one to six are in the afternoon and seven to eleven in the morning; with `evening` (tables,
    parties) five to eleven are in the evening. Read the result back: it may be a guess.
    """
    said = plain(text)
    for word, value in _FIXED.items():
        if re.search(rf"\b{word}\b", said):
            return value
    candidates = [(strength, match) for match in _TIME.finditer(said) if (strength := _strength(match, asked))]
    part = _PART.search(said)
    if sum(strength == 1 for strength, _ in candidates) > 1:  # dictated digits, not a time
        candidates = [candidate for candidate in candidates if candidate[0] > 1]
    if candidates:
        _, best = max(candidates, key=lambda candidate: candidate[0])
        return _clock(best, part[1] if part else None, evening=evening)
    if not asked:
        return None
    if _ANY_TIME.search(said):
        return "any time"
    return part[1].replace("tonight", "evening").replace("night", "evening") if part else None


def _strength(match: re.Match[str], asked: bool) -> int:
    """How sure it is that these words are a time: 0 is not at all."""
    hour = _hour(match)
    if not 0 <= hour <= 23:
        return 0
    if match["part"] or match["clock"] or match["shift"] or match["sep"] in {":", "."}:
        return 3
    after = match.string[match.end() :].lstrip()
    if re.match(r"(?:in the (morning|afternoon|evening)|at night|tonight|this (afternoon|evening))", after):
        return 3
    return 2 if match["lead"] else int(asked)


def _hour(match: re.Match[str]) -> int:
    return int(match["hour"]) if match["hour"].isdigit() else _HOURS[match["hour"]]


def _clock(match: re.Match[str], part: str | None, *, evening: bool) -> str:
    hour, minute = _hour(match), _minute(match["minute"])
    if match["shift"]:
        minute = 15 if match["shift"] == "quarter past" else 30
        hour, minute = (hour - 1, 45) if match["shift"] == "quarter to" else (hour, minute)
    if hour <= 12:
        hour = hour % 12 + 12 * _is_afternoon(hour, match["part"], part, evening=evening)
    return f"{hour:02}:{minute:02}"


def _minute(said: str | None) -> int:
    if not said:
        return 0
    return int(said) if said.isdigit() else sum((UNITS | TENS).get(word, 0) for word in said.split())


def _is_afternoon(hour: int, half_day: str | None, part: str | None, *, evening: bool) -> bool:
    if half_day:
        return half_day == "pm"
    if part == "morning":
        return hour == 12
    if part:
        return not (part in {"night", "tonight"} and hour == 12)
    return hour in ({*range(5, 13)} if evening else {12, *range(7)}) or (evening and hour < 5)
