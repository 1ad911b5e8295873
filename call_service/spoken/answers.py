"""Yes, no, and the ways round them."""

import re

from call_service.spoken.words import plain

_NOT_REALLY_NO = re.compile(r"\b(no (problem|worries|doubt)|not (bad|a problem)|why not|i don't mind)\b")
_NO = re.compile(
    r"\b(no|nope|nah|negative|wrong|incorrect|never|not|neither|don't|doesn't|didn't|isn't|aren't|wasn't|haven't|"
    r"hasn't|can't|cannot|couldn't|won't|wouldn't)\b"
)
_YES = re.compile(
    r"\b(yes|yeah|yep|yup|ya|sure|of course|correct|right|exactly|absolutely|definitely|certainly|ok|okay|indeed|true|"
    r"fine|perfect|please do|go ahead|sounds good|that works|(i (do|am|will|have|did|can|would)|it (is|does|"
    r"did|has))(?! not|')|"
    r"that's it|no (problem|worries|doubt)|not (bad|a problem)|why not|i don't mind|uh huh|mhm)\b"
)
_UNSURE = re.compile(
    r"\b(don't know|do not know|not (so |really |quite )?sure|no idea|can't (say|remember)|cannot say|maybe|perhaps|"
    r"depends|unsure|rather not|prefer not|none of your business|no comment)\b"
)
_REFUSAL = re.compile(
    r"\b(rather not|none of your business|don't want to (say|tell|give|answer)|won't (tell|give|say)|not going to|"
    r"prefer not|no comment|skip (that|it|this)|i don't have (one|a|an|any)|don't know|no idea|not sure)\b"
)


def yes_or_no(text: str) -> bool | None:
    """True for a clear yes, False for a clear no, None when it is neither (also "I don't know")."""
    said = plain(text)
    if _UNSURE.search(said):
        return None
    no = _NO.search(_NOT_REALLY_NO.sub("", said))
    yes = _YES.search(said)
    if no and yes:
        return yes.start() < no.start()
    return bool(yes) if yes or no else None


def is_refusal(text: str) -> bool:
    """Does the speaker decline to give the value, or not have it?"""
    return _REFUSAL.search(plain(text)) is not None
