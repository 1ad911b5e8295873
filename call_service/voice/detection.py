"""Who or what answered: a person, a voicemail, a screening assistant, a menu. Pure decisions, made beside the call.

Three witnesses: how long the first stretch of speech is and whether a pause follows it (people say hello and wait,
machines go on), what was recognised, and the beep. Timing is quick and unsure, words are late and sure, so a verdict
may be replaced by a better one while machines still greet. Only sure ones are worth acting on.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from call_service.carriers.port import FRAME_MS
from call_service.voice.amd import sounds_like_voicemail
from call_service.voice.ports import AnsweredBy

Witness = Literal["words", "timing", "beep", "carrier"]

SURE = 0.8
GREETS_WITHIN_MS = 45_000
SHORT_GREETING_MS = 1_800
PAUSE_MS = 1_000
LONG_SPEECH_MS = 5_000
NOBODY_MS = 8_000
FEW_WORDS = 12

# Assistants say what they are, and tell a stranger to speak; people who answer for others ask.
_ASSISTANT = (
    r"(?<!you )(?<!you please )\b(state|record|say) your (full )?name\b"
    r"|call (screening|assist)|screening (service|assistant)"
    r"|\bscreen(s|ing)? (this|your|the|their|my|his|her) calls?|see if (this|the|that) person is available"
)
_SCREENING = re.compile(_ASSISTANT)
_WHO_CALLS = re.compile(
    _ASSISTANT + r"|\b(state|say|give|tell (me|us)) your (full )?name\b|let them know (that )?(you|who)"
    r"|\breason (for|of) (your|the|this) call|\bwhy (you('re| are) calling|your call)\b"
)
# Whoever says so is away for long; "one moment" is short where a person says it.
_ON_HOLD = (
    r"\b(stay|remain) on\b|\bhold the line\b|\bplease hold\b"
    r"|\bconnect(ing)? you\b|\btrying to (reach|connect)\b|\bsee if\b.*\bavailable\b"
)
_HOLDING = re.compile(_ON_HOLD)
_WAITING = re.compile(_ON_HOLD + r"|\bhold on\b|\bplease wait\b|\bone moment\b|\bjust a (moment|second)\b")
_IVR = re.compile(
    r"\b(press|dial|push|select) (\w+ )?(\d|one|two|three|four|five|six|seven|eight|nine|zero|star|pound|hash)\b"
    r"|\bsay or (press|enter)\b|\b(main|following|of our) (menu|options)\b|\bmenu options\b|\bpara espa(n|\u00f1)ol\b"
    r"|\bcalls? (may|might|will) be (recorded|monitored)\b|\byour call is (very )?important\b|\bnext available\b"
    r"|\blisten (closely|carefully)\b|\bin a few words\b|\b(agents|representatives|lines) are (currently |all )?busy\b"
)
_GREETING = re.compile(
    r"\b(hello|hi|hey|yes|yeah|speaking|this is|who('s| is) (this|that|calling)|good (morning|afternoon|evening))\b"
)

_MACHINES: tuple[tuple[AnsweredBy, Callable[[str], object], float], ...] = (
    ("screening", _SCREENING.search, 0.95),
    ("voicemail", sounds_like_voicemail, 0.95),
    ("ivr", _IVR.search, 0.9),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who answered, how sure that is (0..1), and what told it."""

    kind: AnsweredBy
    confidence: float
    by: Witness

    @property
    def is_sure(self) -> bool:
        """Is it worth acting on?"""
        return self.confidence >= SURE


def asks_who_calls(text: str) -> bool:
    """Does a screening assistant, which is known to be one, want a name and a reason?"""
    return bool(_WHO_CALLS.search(_plain(text)))


def sounds_like_menu(text: str) -> bool:
    """Is it a recording that offers choices?"""
    return bool(_IVR.search(_plain(text)))


def puts_on_hold(text: str) -> bool:
    """Will nobody listen for a while, recording or person?"""
    return bool(_HOLDING.search(_plain(text)))


def asks_to_wait(text: str) -> bool:
    """Is something going to come of it, if one waits?"""
    return bool(_WAITING.search(_plain(text)))


def sounds_like_person(text: str) -> bool:
    """Does somebody greet, or say who speaks?"""
    return bool(_GREETING.search(_plain(text)))


def by_words(utterance: str, heard: str, *, was_screening: bool = False) -> Verdict | None:
    """What the newest utterance tells, with all that was `heard` so far; None for nothing.

    Who speaks after a screening assistant, and not like a machine, is the person it was asked for.
    """
    text = _plain(utterance)
    machine = _machine(text if was_screening else _plain(heard))
    if was_screening and (not text or _WAITING.search(text) or _WHO_CALLS.search(text)):
        return None
    return machine or _person(text, is_expected=was_screening)


def _machine(text: str) -> Verdict | None:
    for kind, sounds_like, confidence in _MACHINES:
        if sounds_like(text):
            return Verdict(kind, confidence, "words")
    return None


def _person(text: str, *, is_expected: bool) -> Verdict | None:
    """People who pick up a phone say little, and greet."""
    greets = bool(_GREETING.search(text))
    is_short = len(text.split()) <= FEW_WORDS
    if not text or not (is_expected or is_short or greets):
        return None
    return Verdict("human", 0.85 if is_expected or (is_short and greets) else 0.7, "words")


def _plain(text: str) -> str:
    return text.lower().replace("\u2019", "'")


class Detector:
    """One call's verdict. Each method returns it when it has changed."""

    def __init__(self) -> None:
        self.verdict: Verdict | None = None
        self._now_ms = 0
        self._stretch_ms = 0  # from the first voice of this stretch to the last
        self._silence_ms = 0
        self._heard = ""

    def tick(self, *, is_voiced: bool) -> Verdict | None:
        """20 ms passed. Timing decides once, and only while nothing else has."""
        self._now_ms += FRAME_MS
        if is_voiced:
            self._stretch_ms += FRAME_MS + (self._silence_ms if self._stretch_ms else 0)
            self._silence_ms = 0
        else:
            self._silence_ms += FRAME_MS
        return None if self.verdict else self._by_timing()

    def words(self, utterance: str) -> Verdict | None:
        """The callee said `utterance`."""
        was_screening = self.verdict is not None and self.verdict.kind == "screening"
        self._heard = f"{self._heard} {utterance}".strip()
        verdict = by_words(utterance, self._heard, was_screening=was_screening)
        if verdict and was_screening:
            self.verdict = None
            self._heard = utterance
        return self._take(verdict)

    def machine(self, by: Literal["beep", "carrier"]) -> Verdict | None:
        """A beep was heard, or the carrier says that a machine answered."""
        return self._take(Verdict("voicemail", 0.9, by))

    def _by_timing(self) -> Verdict | None:
        if self._stretch_ms >= LONG_SPEECH_MS:
            return self._take(Verdict("voicemail", 0.6, "timing"))
        if not self._stretch_ms:
            return self._take(Verdict("unknown", 0.5, "timing")) if self._now_ms >= NOBODY_MS else None
        if self._silence_ms < PAUSE_MS:
            return None
        if self._stretch_ms <= SHORT_GREETING_MS:
            return self._take(Verdict("human", 0.7, "timing"))
        self._stretch_ms = 0  # neither short nor long: what comes next tells
        return None

    def _take(self, verdict: Verdict | None) -> Verdict | None:
        """A better verdict replaces the one before; the same kind is not told twice."""
        before = self.verdict
        if verdict is None or (before and (before.confidence >= verdict.confidence or self._is_late)):
            return None
        self.verdict = verdict
        return verdict if before is None or before.kind != verdict.kind or not before.is_sure else None

    @property
    def _is_late(self) -> bool:
        return self._now_ms > GREETS_WITHIN_MS
