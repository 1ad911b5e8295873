"""How long the end of a turn is waited for: strategies that an agent chooses between.

A strategy is asked when a question was put, and again in the pause, when the words so far are known.
"""

import re
from collections.abc import Mapping
from typing import Protocol

from call_service.voice.endpointing import EndpointingOptions, Expects, StrategyName

DIGIT = re.compile(r"\d|\b(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|double|triple)\b", re.IGNORECASE)
DIGITS_AT_END = re.compile(rf"(?:(?:{DIGIT.pattern})[\s,.-]*){{3,}}$", re.IGNORECASE)
COMPLETE_NUMBER_DIGITS = 10
UNFINISHED_EXTRA_MS = 600
_UNFINISHED = re.compile(
    r"(?:,|-|\u2026|\.{3}|\b(?:and|or|but|so|because|if|when|that|which|who|with|without|for|from|to|at|in|on|of|by|the|a"
    r"|an|my|your|his|her|our|is|are|was|i|we|you|it's|i'm|um+|uh+|er+|well|like|maybe)[.,]?)$",
    re.IGNORECASE,
)


def is_spelling_digits(text: str) -> bool:
    """Does the text break off in a number that is long, and not as long as a telephone number yet?"""
    digits = DIGITS_AT_END.search(text)
    return digits is not None and len(DIGIT.findall(digits[0])) < COMPLETE_NUMBER_DIGITS


def is_unfinished(text: str) -> bool:
    """Does the text end where no sentence does?"""
    return _UNFINISHED.search(text.strip()) is not None


class Strategy(Protocol):
    """Decides on the wait."""

    def __call__(self, options: EndpointingOptions, asked: Expects, heard: str) -> int:
        """Milliseconds of silence that end the turn; `heard` are the words so far, empty while they are unknown."""


def fixed(options: EndpointingOptions, asked: Expects, heard: str) -> int:  # noqa: ARG001 # the protocol has them
    """Always the same."""
    return options.wait_ms


def by_question(options: EndpointingOptions, asked: Expects, heard: str) -> int:
    """Short after a yes/no question, long while digits are expected or being spelled."""
    return options.wait_for("digits" if is_spelling_digits(heard) else asked)


def by_sentence(options: EndpointingOptions, asked: Expects, heard: str) -> int:
    """As `by_question`, and longer after words that a sentence does not end with: for people who think aloud."""
    return by_question(options, asked, heard) + (UNFINISHED_EXTRA_MS if is_unfinished(heard) else 0)


STRATEGIES: Mapping[StrategyName, Strategy] = {"fixed": fixed, "question": by_question, "sentence": by_sentence}
