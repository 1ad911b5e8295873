"""What is to be collected: slots, from the phrases with which instructions ask for them."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from call_service.voice.brain.rewriting import sentence, to_callee

Kind = Literal[
    "name",
    "day",
    "time",
    "number",
    "people",
    "email",
    "digits",
    "quantity",
    "date",
    "choice",
    "order",
    "yes_no",
    "text",
]


@dataclass(frozen=True, slots=True)
class Slot:
    """One value to get. `key` is its name in the call's data, `label` its name in speech.

    A `choice` is one of `options`. With `only_if`, a key and a value, it is only asked after that answer.
    """

    key: str
    kind: Kind
    question: str
    label: str
    options: tuple[str, ...] = ()
    only_if: tuple[str, str] | None = None


NAME = Slot("name", "name", "May I have your name, please?", "name")
DAY = Slot("day", "day", "What day would suit you?", "day")
TIME = Slot("time", "time", "What time would suit you?", "time")
NUMBER = Slot("number", "number", "What is the best phone number to reach you?", "phone number")
PEOPLE = Slot("people", "people", "How many people will there be?", "number of people")
EMAIL = Slot("email", "email", "What is your e-mail address?", "e-mail address")
ORDER = Slot("order", "order", "What would you like to order?", "order")
MESSAGE = Slot("message", "text", "What may I pass on?", "message")

_PERSON = r"(?:caller|customer|patient|guest|client|contact)"
_KNOWN_WORDS = (
    (PEOPLE, r"\b(number of|how many) (people|guests|persons|diners|attendees|adults|travell?ers|passengers)\b"),
    (PEOPLE, r"\b(party|group) size\b|\bsize of (the|their) (party|group)\b|^(guests|people|head ?count)$"),
    (PEOPLE, r"\bhow many (are coming|will come)\b"),
    (NUMBER, r"\b(phone|mobile|cell|telephone|callback|call-back|call back|contact) ?(number|#|no)?\b(?!.*\bmethod\b)"),
    (NUMBER, r"^number$|\bnumber to (call|reach)\b"),
    (EMAIL, r"\be-?mail\b"),
    (NAME, rf"^(?:(?:full|first|last|sur|complete|legal|booking|given|family|{_PERSON}(?:'s|s)?) ?)*names?\b(?! of\b)"),
    (NAME, rf"^(?:first|last|full)? ?(?:and (?:last|first) )?names? of the {_PERSON}\b|^first and last names?\b"),
    (NAME, r"\bname (for|of) the (booking|reservation|order|appointment)\b|^who (is|'s) calling$|^who they are$"),
    (DAY, r"^(?!.*\b(birth|birthday|expir)).*\b(day|date)\b"),
    (TIME, r"^(?!.*\b(how many times|first time)).*\btimes?\b|\bwhat hour\b|^(appointment )?slot$"),
    (ORDER, r"^(?:the )?order$|^what they (would like|want|wish|'d like) to order$"),
    (ORDER, r"^(?:their )?(?:food|pizza|drink)s? (?:order|choice)$"),
    (MESSAGE, r"^message$"),
)
_KNOWN = tuple((re.compile(pattern, re.IGNORECASE), slot) for slot, pattern in _KNOWN_WORDS)
_DIGIT_ITEM = re.compile(r"\b(number|code|id|digits|zip|postcode|pin|reference)\b", re.IGNORECASE)
_QUANTITY_ITEM = re.compile(
    r"^(how many|how much|how old|number of|quantity|amount|age|budget|rating)\b|\b(scale|from \d+ to \d+|1-\d+)\b"
)
_INDIRECT = re.compile(
    r"^(?P<link>whether(?: or not)?|if|that|what|which|when|where|who|why|how)\b ?(?P<rest>.*)$", re.IGNORECASE
)
_AUXILIARY = "am|is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|might|'d|'re|'ve|'ll"
_INVERT = re.compile(
    r"^(?P<subject>(?:\S+ ){0,3}?\S+?) ?(?P<aux>(?<= )(?:am|is|are|was|were|can|could|will|would|should|has|"
    r"had|may|have(?= (?:already |ever |never |not |yet )?(?:\w+ed|been|paid|had|got|made|done|met|left|seen|"
    r"read|taken|given|chosen)\b))|'d|'re|'ve|'ll)\b(?P<rest>.*)$"
)
_FULL = {"'d": "would", "'re": "are", "'ve": "have", "'ll": "will"}
_COMPARED = re.compile(
    r"\bor (?:not|older|younger|more|less|over|under|above|later|so|any|anything|anyone|something|someone)\b"
)
_DIRECT_ORDER = re.compile(
    r"(?:what|which|when|who|how|where|why) (?:is|are|do|does|did|would|can|will)\b", re.IGNORECASE
)
_PLAIN_KINDS = frozenset({"digits", "quantity", "date"})
_GIVE = re.compile(
    r"^to (?:provide|give|tell|leave|state|share|spell)(?: (?:you|us|me))?\s+(?P<what>.+)$", re.IGNORECASE
)
_DO = re.compile(r"^to (?P<what>(?P<verb>[a-z]+)\b.*)$", re.IGNORECASE)
_DETERMINER = re.compile(
    r"^(?:(?:the|their|a|an|his|her|our|your|any|some|all|also|then|caller's|customer's|patient's|guest's|"
    r"client's|correct|following|if possible|optionally|preferred (?=day|date|time))\s+)+",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r"\s+(?:they(?:'d| would)? (?:want|like|prefer|need|wish)\b.*|(?:that|which) (?:works|suits)\b.*|so "
    r"(?:that )?\b.*|in case\b.*|in order\b.*|"
    r"of (?:the|their|every|each) (?:caller|customer|guest|patient|client|person)s?\b.*|for (?:the|their|an?) "
    r"(?:appointment|booking|reservation|record)s?\b.*|before\b.*|"
    r"from (?:the|each|every) (?:caller|customer|patient|guest|client)s?\b.*|politely\b.*|at the end\b.*|one "
    r"by one\b.*|one at a time\b.*|if (?:needed|necessary|possible)\b.*)$",
    re.IGNORECASE,
)
_NOTHING = re.compile(
    r"\banything else\b|^what (?:they|the \w+) (?:need|want|wish|would like|'d like)s?$|\bhow (you|we|i) (can|"
    r"could|may)\b|\b(any|other|more|further|follow-?up) questions?\b|"
    r"\bone question\b|^(?:it|them|this|that|these|everything|help|information|info|details|all details|"
    r"permission|clarification|politely|again|back|not|care|care of.*)$",
    re.IGNORECASE,
)
_IMPERSONAL = re.compile(r"^(?:reason|purpose|nature|type|kind|size|number|quantity|amount|cause)\b| of the ")
_KEY_WORDS = 4
_MAX_ITEM_WORDS = 7


def slots_of(phrase: str) -> list[Slot]:
    """Slots of a phrase like "their name, the day and time they want, and whether they are a new patient"."""
    phrase = re.sub(r"\([^)]*\)", "", phrase).strip(" .:;")
    found: list[Slot] = []
    for item in re.split(
        r"\s*(?:,|;|\bas well as\b|\bplus\b|\band\b(?! (?:why|last|first|whether or)\b)|\s/\s|&)\s*(?:(?:and|"
        r"or|also|then) )?",
        phrase,
    ):
        for slot in _slots_of_item(item.strip()):
            found += [slot] if slot.key not in {known.key for known in found} else []
    return found


def known_slots(phrase: str) -> list[Slot]:
    """Only the slots of usual kinds in `phrase`: for verbs like "take", that also mean other things."""
    return [slot for slot in slots_of(phrase) if slot.kind in _PLAIN_KINDS or any(slot is known for _, known in _KNOWN)]


def _slots_of_item(item: str) -> list[Slot]:
    item = re.sub(r"^(?:for|about|to know|them|of)\s+", "", item, flags=re.IGNORECASE)
    bare = _DETERMINER.sub("", item)
    if not bare or _NOTHING.search(bare):
        return []
    if re.fullmatch(r"(?i)(?:best |preferred |desired )?(?:date|day) ?(?:/|-) ?time", bare):
        return [DAY, TIME]
    given = _GIVE.match(bare)
    slot = None if given else _slot_of(bare)
    return _slots_of_item(given["what"]) if given else [slot] if slot else []


def _slot_of(item: str) -> Slot | None:
    """The one slot of a phrase: a request, a usual value, a question, or something with a name."""
    request = _DO.match(item)
    indirect = _INDIRECT.match(item)
    core = item if indirect else _TAIL.sub("", item)
    if request:
        slot = _request_slot(request["what"], request["verb"])
    elif known := next((slot for pattern, slot in _KNOWN if pattern.search(core)), None):
        slot = known
    elif _DIRECT_ORDER.match(item):
        slot = question_slot(_question(item))
    elif indirect:
        slot = _indirect_slot(item)
    elif len(core.split()) <= _MAX_ITEM_WORDS and re.search(r"[a-zA-Z]{2}", core):
        slot = _noun_slot(core)
    else:
        return None
    return slot


def _request_slot(what: str, verb: str) -> Slot:
    """A request as a question: "to rate us from 1 to 5" becomes "Could you please rate us from 1 to 5?"."""
    closed = verb.lower() in {"confirm", "verify", "acknowledge"}
    kind: Kind = "yes_no" if closed else "quantity" if _QUANTITY_ITEM.search(what.lower()) else "text"
    question = _question(f"{'Can you' if closed else 'Could you please'} {to_callee(what)}")
    return Slot(snake(what), kind, question, "")


def _noun_slot(noun: str) -> Slot:
    spoken = to_callee(noun[0].lower() + noun[1:] if not noun[:2].isupper() else noun)
    if re.search(r"\b(birth|birthday|expiry|expiration)\b", noun, re.IGNORECASE):
        return Slot(snake(noun), "date", f"What is your {spoken}?", spoken)
    kind: Kind = "digits" if _DIGIT_ITEM.search(noun) else "quantity" if _QUANTITY_ITEM.search(noun.lower()) else "text"
    if " or " in spoken:
        return Slot(snake(noun), "choice", f"Would you like {spoken}?", "", tuple(spoken.split(" or ")))
    owner = "the" if _IMPERSONAL.search(spoken) else "your"
    verb = "are" if re.search(r"[^siu]s$", spoken) and not spoken.endswith("address") else "is"
    return Slot(snake(noun), kind, f"What {verb} {owner} {spoken}?", spoken)


def _indirect_slot(clause: str) -> Slot:
    match = _INDIRECT.match(clause)
    assert match
    link = match["link"].lower()
    rest = to_callee(match["rest"])
    closed = link.startswith("whether") or link in {"if", "that"}
    kind: Kind = (
        "yes_no"
        if closed and (" or " not in rest or _COMPARED.search(rest))
        else "quantity"
        if _QUANTITY_ITEM.search(clause.lower())
        else "text"
    )
    question = _direct(link, rest, closed=closed)
    if link == "when":
        return Slot("day", "day", question, "day")
    return _with_options(Slot(snake(match["rest"] or link), kind, question, ""))


def _with_options(slot: Slot) -> Slot:
    """`slot` as a choice when its question ends in two alternatives: "Do you want pickup or delivery?"."""
    offered = re.search(r"(\w+) or (?:an? |the )?(\w+)\??$", slot.question)
    if slot.kind != "text" or not offered or _COMPARED.search(offered[0]):
        return slot
    return replace(slot, kind="choice", options=(offered[1], offered[2]))


def _direct(link: str, rest: str, *, closed: bool) -> str:
    """The question: of "whether" and "you are new" it is "Are you new?"; what is not safe to turn round is wrapped."""
    wh, clause = ("", rest)
    if link == "how" and (
        measure := re.match(
            r"(many|much|old|long|often|likely|satisfied|happy|well|soon|far)\b((?: (?!you\b)\w+)?) (.*)", rest
        )
    ):
        wh, clause = f"how {measure[1]}{measure[2]}", measure[3]
    elif not closed:
        noun = re.match(r"((?:(?!you\b|your\b)\w+ ){0,3})(you\b.*)", rest)
        wh, clause = (f"{link} {noun[1]}".strip(), noun[2]) if noun else (link, rest)
    inverted = _INVERT.match(clause)
    if inverted and not re.match(r"(?:is|are|was|were|will|would|can)\b", clause):
        auxiliary = _FULL.get(inverted["aux"], inverted["aux"])
        return _question(f"{wh} {auxiliary} {inverted['subject']}{inverted['rest']}")
    if re.match(
        r"you (?:still |also |already |really |ever )?(?:want|need|like|know|prefer|have|agree|own|use|live|"
        r"work|plan|remember|feel|think|wish|rate|"
        r"smoke|accept|take|rent)\b",
        clause,
    ):
        return _question(f"{wh} do {clause}")
    return _question(f"May I ask {link} {rest}")


def _question(text: str) -> str:
    return sentence(" ".join(text.split()).rstrip(".?! ")).rstrip(".") + "?"


def question_slot(question: str) -> Slot:
    """A slot for a question that the instructions spell out."""
    text = question.strip().strip("\"'")
    known = next((slot for pattern, slot in _DIRECT if pattern.search(text)), None)
    if known:
        return Slot(known.key, known.kind, text, known.label)
    closed = re.match(rf"(?:so |and )?(?:{_AUXILIARY})\b", text.lower()) and (
        " or " not in text or _COMPARED.search(text)
    )
    kind: Kind = (
        "yes_no"
        if closed
        else "quantity"
        if re.search(r"(?i)\bhow (many|much|old)\b|scale of|\b(?:from )?\d to \d+", text)
        else "text"
    )
    noun = re.match(r"(?i)what(?:'s| is| are) your ([\w -]+)\?", text)
    return _with_options(Slot(snake(text.rstrip("?")), kind, text, noun[1] if noun else ""))


_DIRECT: tuple[tuple[re.Pattern[str], Slot], ...] = (
    (re.compile(r"(?i)\b(your|have a|the) (full |first |last )?name\b|\bwho am i (speaking|talking)"), NAME),
    (re.compile(r"(?i)\b(phone|callback|contact|mobile) number\b"), NUMBER),
    (re.compile(r"(?i)\be-?mail\b"), EMAIL),
    (re.compile(r"(?i)\bhow many (people|guests|persons)\b|\bparty size\b"), PEOPLE),
    (re.compile(r"(?i)^(what|which) (day|date)\b|\bwhen would you like to come\b"), DAY),
    (re.compile(r"(?i)^(what|which) time\b"), TIME),
)  # fmt: skip


def snake(phrase: str) -> str:
    """A short snake_case key: filler words left out."""
    filler = (
        "the|their|they|them|a|an|for|to|is|are|was|were|be|do|does|did|you|your|we|our|would|will|can|could|have|"
        "has|had|or|not|and|with|it|in|at|on|any|from|please|what|how|customer|caller|callee|she|he|her|his|him|"
        "that|this|which|s|re|d"
    )
    kept = [word for word in re.findall(r"[a-z0-9]+", phrase.lower()) if not re.fullmatch(filler, word)]
    return "_".join(kept[:_KEY_WORDS])[:40] or "answer"
