"""Numbers as people say them: dictated digits, and quantities."""

import re

from call_service.spoken.words import words

UNITS = {
    "zero": 0, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9,
    "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16,
    "seventeen": 17, "eighteen": 18, "nineteen": 19,
}  # fmt: skip
TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_REPEATS = {"double": 2, "triple": 3}
_OH = frozenset({"oh", "o"})
_DIGITS = re.compile(r"\$?(\d+(?:\.\d+)?)")
_GROUPED = re.compile(r"(?<=\d)[,](?=\d{3}\b)")
_SEPARATED = re.compile(r"(?<=\d)[-().\s/](?=\d)")


def digit_string(text: str) -> str:
    """The digits that were dictated, in order: "five double oh, 12" gives "50012"; a leading plus is kept."""
    found = ""
    repeat = 1
    previous_ten = False
    for word in words(_SEPARATED.sub(" ", text).replace("-", " ")):
        repeat_next = _REPEATS.get(word, 1)
        digits = _dictated(word, inside=bool(found) or repeat > 1)
        if previous_ten and len(digits) == 1 and digits != "0":
            found = found[:-1] + digits  # "fifty five" is 55, not 505
        else:
            found += digits * repeat
        previous_ten, repeat = word in TENS, repeat_next
    return found


def _dictated(word: str, *, inside: bool) -> str:
    if word in _OH:
        return "0" if inside else ""
    if word in UNITS or word in TENS:
        return str(UNITS.get(word, TENS.get(word)))
    if word == "plus" and not inside:
        return "+"
    return word if re.fullmatch(r"\+?\d+", word) else ""


def quantities(text: str) -> list[float]:
    """Every quantity in `text`, in order: "two hundred fifty", "3.5", "$1,200" and "twenty five" are one each."""
    found: list[float] = []
    value: float | None = None
    for word in [*words(_GROUPED.sub("", text).replace("-", " ")), ""]:
        merged = _merge(value, word)
        if merged is None:
            found.extend([] if value is None else [value])
            value = _single(word)
        else:
            value = merged
    return found


def _single(word: str) -> float | None:
    digits = _DIGITS.fullmatch(word)
    if digits:
        return float(digits[1])
    spoken = UNITS.get(word, TENS.get(word))
    return None if spoken is None else float(spoken)


def _merge(value: float | None, word: str) -> float | None:
    """`value` grown by `word`, or None when the word does not continue it."""
    if value is None:
        return None
    if word == "thousand":
        return value * 1000
    if word == "hundred":
        return value + 99 * (value % 1000)
    unit = UNITS.get(word, TENS.get(word))
    if unit is None:
        return None
    room = next((scale for scale in (1000, 100) if value and value % scale == 0), 10 if value in TENS.values() else 0)
    return value + unit if 0 < unit < room else None
