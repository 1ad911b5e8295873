"""Recorded menus: "for sales press one, for anything else press zero". Which key leads to the goal?"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import snowballstemmer

from call_service.spoken.words import straight, words

MAX_PRESSED = 8
_MAX_REPEATS = 2
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_KEYS = {**{word: str(digit) for digit, word in enumerate(_DIGITS)}, "star": "*", "pound": "#", "hash": "#"}
_PRESS = re.compile(
    r"\b(?:press|dial|push|select|enter|choose)(?: or say)?(?: the)?(?: number| key| option| button)?,? "
    rf"(?P<key>[0-9*#]|{'|'.join(_KEYS)})(?: (?:key|sign|button))?\b(?:,? now)?",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\s*,?\s*(?:for|to|if)\b", re.IGNORECASE)
_CLAUSE = re.compile(r"[.!?;]+\s+")
_OPERATOR = "operator"
_SAME = {
    **dict.fromkeys(
        words(
            "operator reception receptionist desk representative representatives agent agents human person someone "
            "somebody staff associate attendant specialist advisor"
        ),
        _OPERATOR,
    ),
    **dict.fromkeys(words("appointment appointments booking bookings book schedule reservation reservations"), "book"),
    **dict.fromkeys(words("billing bill bills invoice invoices payment payments pay accounts"), "billing"),
    **dict.fromkeys(words("support technical help assistance service problem problems"), "support"),
    **dict.fromkeys(words("sales buy purchase purchasing quote"), "sales"),
    **dict.fromkeys(words("other else anything everything inquiries enquiries questions"), "other"),
}
_STOP = frozenset(
    words(
        "a about an and any are at be by call calling connect connected department direct for from front get how i if "
        "in is it line me my need of on or our out please put reach speak speaking talk thank the their this through "
        "to us want we with would you your office customer main all"
    )
)
_stem = snowballstemmer.stemmer("english").stemWord


@dataclass(frozen=True, slots=True)
class Choice:
    """What a menu offers: a key, and where it leads in the menu's own words."""

    key: str
    label: str


def choices_in(text: str) -> list[Choice]:
    """All choices that a menu names, in order; the words stand before the key, or behind it."""
    said = straight(text)
    found = list(_PRESS.finditer(said))
    if not found:
        return []
    is_behind = bool(_AFTER.match(said, found[-1].end()))
    ends = [match.start() for match in found[1:]] + [len(said)]
    starts = [0] + [match.end() for match in found[:-1]]
    return [
        Choice(_key(match["key"]), _first(said[match.end() : end]) if is_behind else _last(said[start : match.start()]))
        for match, start, end in zip(found, starts, ends, strict=True)
    ]


def _key(said: str) -> str:
    return _KEYS.get(said.lower(), said)


def _first(text: str) -> str:
    return _CLAUSE.split(text.strip())[0].strip(" ,.")


def _last(text: str) -> str:
    return _CLAUSE.split(text.strip(" ,."))[-1].strip()


def _terms(text: str) -> set[str]:
    return set(_named(text))


def _named(text: str) -> Iterator[str]:
    for word in words(text):
        if word not in _STOP:
            yield _SAME.get(word) or _stem(word)


class Navigator:
    """The way through the menus of one call; its goal is a person unless something else is told."""

    def __init__(self, goal: str | None) -> None:
        self._goal = _terms(goal or _OPERATOR) or {_OPERATOR}
        self._passed: list[Choice] = []
        self._pressed: list[Choice] = []

    def key_for(self, menu: str) -> str | None:
        """What to press now; None: listen on, the right choice may still come.

        A menu that begins again has offered all it has: then the way to a person is taken, or the one to all the rest.
        """
        choices = choices_in(menu)
        is_again = any(choice in self._passed for choice in choices)
        self._passed += choices
        chosen = self._best(choices) or (self._way_out() if is_again else None)
        if chosen is None or self._pressed.count(chosen) >= _MAX_REPEATS or len(self._pressed) >= MAX_PRESSED:
            return None
        self._pressed.append(chosen)
        self._passed.clear()
        return chosen.key

    def _best(self, choices: list[Choice]) -> Choice | None:
        ranked = sorted(choices, key=lambda choice: len(self._goal & _terms(choice.label)), reverse=True)
        return ranked[0] if ranked and self._goal & _terms(ranked[0].label) else None

    def _way_out(self) -> Choice | None:
        ways = [choice for choice in self._passed if _terms(choice.label) & {_OPERATOR, "other"}]
        return ways[0] if ways else None
