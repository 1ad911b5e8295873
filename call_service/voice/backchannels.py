"""Sounds and words that say "I am listening": they ask for nothing and take no turn."""

import re

from call_service.spoken.words import straight

_WORD = (
    r"(?:u+h+|u+m+|a+h+a*|o+h+|h+m+|m+h*m+|mm+|uh[- ]?h?uh|mm[- ]?hmm?|mhm|ok|okay|right|yeah|yep|yes|sure|alright"
    r"|all right|i see|got it|go on|great|good|fine|exactly|of course|i know|really|cool|wow)"
)
_BACKCHANNEL = re.compile(rf"{_WORD}(?: {_WORD}){{0,2}}")
_CONSENT = (
    rf"(?:{_WORD}|thank you(?: (?:so|very) much)?|thanks(?: (?:a lot|so much|very much))?|please(?: do)?|perfect|lovely"
    r"|excellent|wonderful|(?:that's|that is|that would be) (?:great|fine|good|perfect|lovely))"
)
_ONLY_CONSENT = re.compile(rf"{_CONSENT}(?: {_CONSENT}){{0,3}}")
_PUNCTUATION = re.compile(r"[^\w' -]+")


def is_backchannel(text: str) -> bool:
    """Is it nothing more than up to three of them? Nothing at all is one as well."""
    plain = _plain(text)
    return not plain or _BACKCHANNEL.fullmatch(plain) is not None


def is_consent(text: str) -> bool:
    """Is it a backchannel, thanks, or a yes to what was just promised?"""
    plain = _plain(text)
    return not plain or _ONLY_CONSENT.fullmatch(plain) is not None


def _plain(text: str) -> str:
    return " ".join(_PUNCTUATION.sub(" ", straight(text).lower()).split())
