"""Tells orders to the agent from statements that it may say aloud."""

import re

from call_service.spoken.words import words

_VERBS = words(
    """accept acknowledge act add address adjust advise agree allow always announce answer apologize apologise ask
    assist assume assure attempt avoid be begin book call capture check clarify close collect comply conclude
    conduct confirm consult continue convey convince cover deal decline describe determine direct discuss do
    don't double elicit emphasize empathize encourage end engage ensure enter escalate establish exhibit explain
    express figure find finish focus follow forward gather get give go greet guide handle hang help highlight
    identify include inform inquire insist introduce invite keep lead leave let limit listen look maintain make
    match mention mirror monitor move negotiate never note notify obtain offer open only pass pause perform
    persuade phone pitch play pretend prioritize proceed produce promise promote pronounce propose provide
    qualify reassure recommend record redirect refer refrain refuse register reject relay remain remember remind
    repeat reply report request reschedule resolve respond restate review ring roleplay say schedule see seek
    sell send set share show smile sound speak spell start state stay stick stop suggest summarize summarise
    sell support survey take talk tell thank transfer treat try turn understand upsell use verify visit wait
    warn welcome wish work write"""
)
_ADVERB = (
    r"(?:please|then|also|always|politely|kindly|finally|first|firstly|next|second|secondly|lastly|afterwards|"
    r"after that|before that|and|but|otherwise|instead|now|just|simply|briefly|only|gently|carefully|immediately|"
    r"if possible|at the end|in the end|\w+ly),?"
)
_DUTY = (
    r"you (?:should|must|will|need to|have to|are to|can|may|ought to|shall|always|never|then|also)(?: (?:also|"
    r"always|then|never|not))?|"
    r"(?:your|the) (?:main |primary |only |first )?(?:job|task|goal|role|purpose|objective|mission|aim|"
    r"reason)(?: (?:of|for) (?:the|this|your) call)? is(?: to)?|"
    r"(?:make|be) sure(?: to| that you| you)?|remember to|try to|don't forget to|do not forget to|your "
    r"responsibilities (?:are|include)(?: to)?|"
    r"you (?:want|wish) to|(?:i|we)(?: want| need| would like|'d like) you to|to|the agent (?:should|must|will)"
)
LEAD = re.compile(rf"^(?:(?:{_ADVERB}|{_DUTY})\s+)+", re.IGNORECASE)
_IMPERATIVE = re.compile(rf"^(?:{'|'.join(map(re.escape, _VERBS))})\b(?!')", re.IGNORECASE)
_CLAUSE = re.compile(
    r"(?:\s*[,;:]\s*(?:and |then |and then )?|\s+(?:and|then|and then)\s+)(?=(?:then |also |finally |always |"
    r"politely |please )*"
    r"(?:ask|collect|get|confirm|verify|repeat|read|tell|say|thank|offer|end|hang|be|keep|remind|inform|gather|"
    r"find out|"
    r"let|take|book|schedule|invite|wish|make|do not|don't|never|answer|note|record|explain|give|transfer|"
    r"check|help|mention|"
    r"greet|introduce|apologi[sz]e|request|obtain|arrange)\b(?! (?:back|number)))",
    re.IGNORECASE,
)
_ABOUT_THE_AGENT = re.compile(
    r"\byour (?:job|task|goal|role|tone|name|purpose|mission|objective|style|voice|answers?|responses?|"
    r"responsibilit\w+|"
    r"manner|personality|sentences|instructions?|replies)\b|\b(?:the|this|an?) (?:agent|assistant|ai|bot|call|"
    r"conversation|prompt)s? (?:should|must|will|is|are|has to)\b|"
    r"\b(?:as an? (?:ai|assistant)|system prompt|role-?play|tone|persona|language model)\b|^(?:under no "
    r"circumstances|at no time)\b",
    re.IGNORECASE,
)
_OPENING_HOURS = re.compile(r"(?:open|closed?)\b.*(?:\d|day|daily|week|noon)", re.IGNORECASE)
_YOU = re.compile(r"^(?:.*[,;] )?(?:also |currently |here )?you\b", re.IGNORECASE)
_YOU_STATEMENT = re.compile(
    r"\byou(?:'re| are) (?:currently |also |usually |always |only |not |fully )*(?:open|closed|located|in|at|"
    r"on|near|next|opposite|available|family|"
    r"licensed|based|part|within|behind|between|across|\d)|"
    r"\byou (?:also |only |currently |usually |do not |don't |can't |cannot |no longer )*(?:have|offer|accept|"
    r"serve|sell|deliver|charge|open|close|take|"
    r"specialize|specialise|ship|treat|provide)\b",
    re.IGNORECASE,
)
_FINITE = re.compile(
    r"\b(?:is|are|was|were|has|have|had|can|cannot|can't|costs?|offers?|opens?|closes?|accepts?|provides?|"
    r"includes?|serves?|takes?|delivers?|"
    r"starts?|ends?|begins?|needs?|requires?|will|may|must|does|do|gets?|gives?|runs?|lasts?|comes?|goes|"
    r"works?|sells?|charges?|lies|sits|"
    r"welcomes?|belongs?|expires?|arrives?|leaves?|bring|pay|allows?|allowed|available|free|isn't|aren't|don't|"
    r"doesn't|won't)\b|\w'(?:s|re|ve) |\d",
    re.IGNORECASE,
)


def clauses(sentence: str) -> list[str]:
    """The parts of an order that are orders themselves: "Ask for the name, then thank them" is two."""
    return [LEAD.sub("", part).strip() for part in _CLAUSE.split(sentence) if part.strip()]


def is_order(text: str) -> bool:
    """Is it said to the agent: an imperative, a duty, or something about its manner?"""
    if _OPENING_HOURS.match(text):
        return False
    bare = LEAD.sub("", text.strip())
    if _ABOUT_THE_AGENT.search(text) or _IMPERATIVE.match(bare):
        return True
    return (bool(_YOU.match(text)) or bare != text.strip()) and not _YOU_STATEMENT.search(text)


def is_statement(text: str) -> bool:
    """May it be said aloud? In doubt not: a sentence needs a subject before its verb, and no order in it."""
    if is_order(text) or text.rstrip().endswith("?"):
        return False
    if _OPENING_HOURS.match(text):
        return True
    verb = _FINITE.search(text)
    return verb is not None and bool(text[: verb.start()].strip() or verb[0].isdigit())
