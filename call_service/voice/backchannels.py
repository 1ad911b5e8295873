"""Sounds and words that say "I am listening": they ask for nothing and take no turn."""

import re

_WORD = (
    r"(?:u+h+|u+m+|a+h+a*|o+h+|h+m+|m+h*m+|mm+|uh[- ]?h?uh|mm[- ]?hmm?|mhm|ok|okay|right|yeah|yep|yes|sure|alright"
    r"|all right|i see|got it|go on|great|good|fine|exactly|of course|i know|really|cool|wow)"
)
_BACKCHANNEL = re.compile(rf"{_WORD}(?: {_WORD}){{0,2}}")
_PUNCTUATION = re.compile(r"[^\w' -]+")


def is_backchannel(text: str) -> bool:
    """Is it nothing more than up to three of them? Nothing at all is one as well."""
    plain = " ".join(_PUNCTUATION.sub(" ", text.lower()).split())
    return not plain or _BACKCHANNEL.fullmatch(plain) is not None
