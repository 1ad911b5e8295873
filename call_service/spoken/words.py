"""Recognised speech as plain lower-case words."""

import re

_WORD = re.compile(r"[+$€£]?[a-z0-9à-öø-ÿ]+(?:['.:/][a-z0-9à-öø-ÿ]+)*")
_CURLY_APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_HALF_DAY = re.compile(r"\b([ap])\s?\.?\s?m\b\.?")


def words(text: str) -> list[str]:
    """Lower-case words of `text`; `3:30`, `4.5`, `i'm` and `$45` stay one word, `p.m.` becomes `pm`."""
    return _WORD.findall(_HALF_DAY.sub(r"\1m", straight(text).lower()))


def straight(text: str) -> str:
    """`text` with the typewriter's apostrophe."""
    return text.replace(_CURLY_APOSTROPHE, "'")


def plain(text: str) -> str:
    """The words of `text`, joined by single blanks: what patterns are matched against."""
    return " ".join(words(text))
