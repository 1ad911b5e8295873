"""How the callee felt, by a small lexicon with negation. Politeness ("thank you") is no feeling and does not count."""

import re
from collections.abc import Sequence

from call_service.analysis.models import CallFacts, Sentiment
from call_service.spoken.words import plain, words
from call_service.voice.ports import Turn

_POSITIVE = frozenset(
    words(
        """amazing appreciate awesome brilliant delighted excellent excited fantastic fine friendly glad good great
        happy helpful impressed interested kind like love lovely nice perfect pleased pleasure recommend
        satisfied super sweet terrific thrilled wonderful"""
    )
)
_NEGATIVE = frozenset(
    words(
        """angry annoyed annoying awful bad broken complain complaint confused disappointed disappointing disgusting
        dissatisfied fraud frustrated frustrating furious harassing hate horrible lie lied lying mad
        nonsense poor problem refund ridiculous rude scam slow spam stupid sue terrible tired
        unacceptable unhappy unprofessional upset useless waste worried worse worst wrong"""
    )
)
_NEGATION = frozenset(words("not no never don't doesn't didn't isn't aren't wasn't can't cannot won't hardly without"))
_NO_FEELING = re.compile(
    r"\b(would like|i'd like|like to|good (morning|afternoon|evening|day|night|bye)|no problem|sounds good|"
    r"have a (good|nice|great|lovely) \w+|fine with me|looks? like)\b"
)
_WINDOW = 3


def sentiment_of(turns: Sequence[Turn], facts: CallFacts) -> Sentiment:
    """From the callee's words alone; asking not to be called again is negative whatever else was said."""
    if facts.data.get("opt_out"):
        return "negative"
    score = sum(_score(turn.text) for turn in turns if turn.role == "user")
    return "positive" if score > 0 else "negative" if score < 0 else "neutral"


def _score(text: str) -> int:
    tokens = _NO_FEELING.sub("", plain(text)).split()
    return sum(_weight(token) * _sign(tokens[max(0, place - _WINDOW) : place]) for place, token in enumerate(tokens))


def _weight(token: str) -> int:
    return (token in _POSITIVE) - (token in _NEGATIVE)


def _sign(before: Sequence[str]) -> int:
    return -1 if _NEGATION.intersection(before) else 1
