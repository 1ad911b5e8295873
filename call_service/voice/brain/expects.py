"""Guesses from a question what kind of answer it will get, so that the session knows how long to wait for its end."""

import re
from typing import Literal

from call_service.voice.ports import Say

Expects = Literal["yes_no", "digits", "open"]

_DIGITS = re.compile(
    r"\b(phone|mobile|number|digits?|code|pin|zip|postcode|date of birth|account|reference)\b", re.IGNORECASE
)
_AUXILIARY = (
    r"(do|does|did|is|are|was|were|can|could|would|will|shall|should|may|have|has|isn't|aren't|don't|won't|is that)"
)
_YES_NO = re.compile(
    rf"(^|[,.;] )(and |so |okay |also |or )?{_AUXILIARY}\b|\b(right|correct|okay|yes or no)\?$", re.IGNORECASE
)
_OPEN = re.compile(r"\b(what|which|when|where|who|whom|whose|why|how|or|name|tell me)\b", re.IGNORECASE)


def guess_expects(sentence: str) -> Expects:
    """`digits` when it asks for a number, `yes_no` when it can be answered by yes or no, else `open`."""
    if not sentence.rstrip().endswith("?"):
        return "open"
    if _DIGITS.search(sentence) and "number of" not in sentence and not re.search(r"\b(correct|right)\?", sentence):
        return "digits"
    return "yes_no" if _YES_NO.search(sentence) and not _OPEN.search(sentence) else "open"


def say(sentence: str) -> Say:
    """`sentence` with its guess."""
    return Say(sentence, guess_expects(sentence))
