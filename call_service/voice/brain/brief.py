"""What somebody's free-text instructions mean for a call: who speaks, why, what is known, what is to be collected."""

import re
from dataclasses import dataclass, field, replace

from call_service.voice.brain.asking import Slot, known_slots, question_slot, slots_of
from call_service.voice.brain.knowledge import Fact
from call_service.voice.brain.orders import LEAD, clauses, is_order, is_statement
from call_service.voice.brain.passages import Passage, passages
from call_service.voice.brain.persona import Persona, persona_of
from call_service.voice.brain.rewriting import as_business, for_speech, sentence, to_callee
from call_service.voice.ports import AgentProfile

_COLLECT_HEADING = re.compile(
    r"\b(collect|ask|gather|capture|required|needed|questions|survey|to get|fields?|slots?|intake)\b", re.IGNORECASE
)
_ANSWERS_HEADING = re.compile(r"\b(faqs?|frequently|common|answers|q ?& ?a|asked)\b", re.IGNORECASE)
_ORDERS_HEADING = re.compile(
    r"\b(rules?|tone|style|guidelines?|personality|do not|don'?ts?|dos|never|behaviou?r|constraints?|voice|"
    r"manner|instructions?|steps?|flow|script|"
    r"tasks?|goals?|objectives?|responsibilit\w+|duties|role|persona|identity|about you|format|language|"
    r"important|guardrails?|restrictions?|limits)\b",
    re.IGNORECASE,
)
_SYSTEM_HEADING = re.compile(r"\b(system|prompt|overview|general|info\w*|details)\b", re.IGNORECASE)
_PERSONA_KEY = re.compile(
    r"^(?:your |agent |assistant )?(?:name|role|persona|position|agent|assistant|business(?: name)?|company(?: "
    r"name)?|organi[sz]ation|identity)$",
    re.IGNORECASE,
)
_GREETING_KEY = re.compile(
    r"\b(greeting|opening(?: line)?$|first message|opener|introduction|welcome)\b", re.IGNORECASE
)
_CLOSING_KEY = re.compile(r"\b(closing(?: line)?$|goodbye|farewell|sign[- ]off)\b", re.IGNORECASE)
_PROSE_KEY = re.compile(
    r"\b(goal|task|purpose|objective|job|mission|note|important|context|background|description|scenario|about|"
    r"instructions?|reason|situation)\b",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"[\"“”](?P<quoted>[^\"“”]{2,})[\"“”]|(?<=[\s:])'(?P<single>[^\"]{8,})'(?=[\s.,]|$)")
_PROHIBITION = re.compile(
    r"(?:(?:please|but|and|always|you|the agent) )*(?:(?:must|should|may|can|shall|will|are|have) )?(?:to )?"
    r"(?:not|never|cannot|can't|mustn't|shouldn't|do not|don't|avoid|refrain|under no|at no)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^[A-Z][\w ]{0,30}:\s+")
_GREET = re.compile(
    r"^(?:greet|start|begin|open|answer the (?:phone|call)|introduce|say hello|pick up)\b", re.IGNORECASE
)
_END = re.compile(r"^(?:end|close|finish|conclude|say goodbye|thank|hang up)\b", re.IGNORECASE)
_SAY = (
    r"(?:say|tell \w+(?: \w+)?|answer|reply|respond|explain|inform \w+(?: \w+)?|mention|let \w+(?: \w+)? know|"
    r"state|advise \w+(?: \w+)?)"
)
_CONDITION = re.compile(
    r"^(?:if|when|whenever|in case)\s+(?P<condition>[^,:]+?)(?:,|:| then)\s*(?:then |please |just |always |"
    r"politely )*(?P<then>.+)$",
    re.IGNORECASE,
)
_SAYING = re.compile(rf"^{_SAY}\b(?: with)?(?: that)?[:,]?\s*(?P<what>.+)$", re.IGNORECASE)
_STRONG = re.compile(
    r"^(?:ask(?: (?:them|him or her|him|her|(?:the |each |every )?(?:caller|customer|callee|patient|guest|"
    r"client|person|user|contact|resident|recipient|people|member|tenant|driver)s?))?(?: (?:for|about))?|"
    r"collect|gather|obtain|find out|request|capture|inquire(?: about)?|determine|learn)\b[:,]?\s*(?P<what>.+)$",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"^(?:get|take(?: down)?|note(?: down)?|record|need|write down|check|establish|identify|register|book|"
    r"schedule|verify|qualify|arrange)\b[:,]?\s*(?P<what>.+)$",
    re.IGNORECASE,
)
_CONFIRM = re.compile(
    r"^(?:confirm|verify|check)\s+(?:with (?:them|the \w+) )?(?P<what>(?:whether|if|that)\b.+|(?:the|"
    r"their)\s+\w+\s+(?:on|at|for|of|tomorrow|today|is)\b.+)$",
    re.IGNORECASE,
)
_WHOM = (
    r"(?:(?:the |our |your |each |every |all )?(?:caller|customer|callee|patient|guest|client|person|user|contact|"
    r"resident|recipient|people|member|tenant|subscriber|parent|driver|voter|lead)s?|them|him|her|him or her|"
    r"someone|somebody|everyone|(?-i:[A-Z]\w+(?: [A-Z]\w+)?))"
)
_TELL = re.compile(
    rf"^(?P<verb>(?:tell|inform|remind|notify|let|advise|warn|alert|invite)(?=\s+{_WHOM})|(?:explain|mention|"
    rf"state|say|announce|point out)(?=\s+(?:to {_WHOM} )?that\b))(?:\s+to)?(?:\s+{_WHOM})?(?: "
    rf"know)?\s+(?P<what>(?P<link>that|of|about|to)\b.+|.+)$",
    re.IGNORECASE,
)
_CALLING = re.compile(
    rf"\b(?:you(?:'re| are| will be|'ll be)|we are|I am) (?:now )?(?:calling|phoning|contacting|"
    rf"ringing)\b(?P<who>.*?)\b(?P<link>to|about|because|regarding|concerning)\b (?P<what>.+)$|\byou(?:'re| "
    rf"are) (?P<link3>conducting|doing|running|carrying out|performing|making)\b (?P<what3>(?:an? |the )?[\w "
    rf"-]*(?:survey|poll|questionnaire|interview|check)\b.*)$|^(?:call|phone|contact|"
    rf"ring)\s+{_WHOM}\b(?:(?! and |,).)*?\b(?P<link2>to|about|because|regarding)\b (?P<what2>.+)$",
    re.IGNORECASE,
)
_DUTY_OUT = re.compile(
    r"^(?P<what>(?:remind|inform|notify|follow up|conduct|survey|announce|invite|let)\b.+)$", re.IGNORECASE
)
_OUTBOUND = re.compile(
    r"\b(outbound|you(?:'re| are| will be) (?:calling|phoning|contacting)|you (?:call|phone|conduct)\b|survey|"
    r"questionnaire|leads?\b|follow(?:ing)?[- ]up|(?:make|making|place|placing) (?:\w+ )?calls|this call is to|"
    r"call (?:the |our |these )?(?:people|customer|patient|client|member|tenant|guest|lead)s?)\b",
    re.IGNORECASE,
)
_ANSWER_CONDITION = re.compile(
    r"^(?:so|yes|no|not)\b|^(?:they|he|she|the \w+|it|this|that|somebody|someone)\b.*\b(?:can|can't|cannot|is|"
    r"isn't|are|aren't|do|don't|does|doesn't|will|won't|has|have|haven't|says?|agrees?|declines?|confirms?)\b|"
    r"\b(?:the answer)\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(
    r"\b(?:no|not|can't|cannot|isn't|aren't|don't|doesn't|won't|haven't|hasn't|declines?|unable|refuses?)\b",
    re.IGNORECASE,
)
_INBOUND = re.compile(
    r"\b(callers?|receptionist|answer\w* (?:the |our |incoming )*(?:phones?|calls?|line)|inbound|incoming|"
    r"front desk|host(?:ess)?|"
    r"order[- ]taker|calls (?:in|us)|someone calls|book (?:an? |the )?(?:appointment|table)s?|reservations?)\b",
    re.IGNORECASE,
)
_BOOKING_CONDITION = re.compile(
    r"\b(want|wants|wish|would like|like to|need|needs|ask|asks|interested|book|order|calls? to)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Brief:
    """The meaning of the instructions. `collects_always` is false when values are only wanted on some condition."""

    persona: Persona
    greeting: str | None
    closing: str | None
    purpose: tuple[str, ...]
    facts: tuple[Fact, ...]
    slots: tuple[Slot, ...]
    is_outbound: bool
    collects_always: bool


def brief_of(profile: AgentProfile) -> Brief:
    """Read the profile's instructions; anything not understood is left out rather than said aloud."""
    parts = passages(profile.instructions)
    reader = _Reader()
    for part in parts:
        reader.read(part)
    reader.add_lists(parts)
    return Brief(
        persona=persona_of(parts, profile),
        greeting=profile.first_message or reader.greeting,
        closing=reader.closing,
        purpose=tuple(dict.fromkeys(reader.purpose)),
        facts=tuple(dict.fromkeys(reader.facts)),
        slots=tuple(reader.slots.values()),
        is_outbound=_is_outbound(profile.instructions, reader),
        collects_always=reader.collects_always,
    )


@dataclass(slots=True)
class _Reader:
    greeting: str | None = None
    closing: str | None = None
    purpose: list[str] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    slots: dict[str, Slot] = field(default_factory=dict)
    collects_always: bool = False

    def read(self, part: Passage) -> None:
        """Sort one passage into what it is."""
        collecting = bool(_COLLECT_HEADING.search(part.heading)) and not _ANSWERS_HEADING.search(part.heading)
        ordering = bool(_ORDERS_HEADING.search(part.heading)) and not _ANSWERS_HEADING.search(part.heading)
        if part.kind == "answer":
            self.facts.append(Fact(_aloud(part.text), f"{part.heading} {part.key}"))
        elif part.kind == "pair":
            self._pair(part, collecting=collecting, ordering=ordering)
        elif part.kind == "item" and collecting and (len(part.text.split()) <= 3 or not is_order(part.text)):
            self._collect([question_slot(part.text)] if part.text.endswith("?") else slots_of(part.text))
        else:
            self._sentence(part.text, part.heading, sayable=not ordering, fragment=part.kind == "item")

    def add_lists(self, parts: list[Passage]) -> None:
        """One more fact for each list of facts: what "which pizzas do you have?" is answered with."""
        known = {fact.text for fact in self.facts}
        lists: dict[str, list[str]] = {}
        for part in parts:
            said = _pair_aloud(part) if part.kind == "pair" else _aloud(as_business(part.text))
            if part.heading and part.kind in {"item", "pair"} and said in known:
                lists.setdefault(part.heading, []).append(f"{part.key} {part.text}".strip().rstrip("."))
        for heading, items in lists.items():
            if len(items) > 1 and not _SYSTEM_HEADING.search(heading) and all(len(item.split()) <= 6 for item in items):
                self.facts.append(Fact(_aloud(f"{heading.capitalize()}: {', '.join(items[:8])}"), heading))

    def _pair(self, part: Passage, *, collecting: bool, ordering: bool) -> None:
        key = part.key
        if _PERSONA_KEY.match(key):
            return
        if _GREETING_KEY.search(key):
            self.greeting = self.greeting or part.text.strip("\"'“”")
        elif _CLOSING_KEY.search(key):
            self.closing = self.closing or part.text.strip("\"'“”")
        elif collecting and not is_order(part.text):
            self._collect(slots_of(key))
        elif _COLLECT_HEADING.search(key) and not _ANSWERS_HEADING.search(key):
            self._collect([question_slot(part.text)] if part.text.endswith("?") else slots_of(part.text))
        elif _PROSE_KEY.search(key):
            for part_sentence in passages(part.text):
                self._sentence(part_sentence.text, part.heading, sayable=True)
        elif ordering or _ORDERS_HEADING.search(key) or (is_order(key) and " " in key):
            self._sentence(part.text, part.heading, sayable=False)
        elif not LEAD.match(part.text):
            self.facts.append(Fact(_pair_aloud(part), f"{part.heading} {key}"))

    def _sentence(self, text: str, heading: str, *, sayable: bool, fragment: bool = False) -> None:
        condition = _CONDITION.match(text)
        if condition:
            self._conditional(text, condition["condition"], condition["then"])
        elif self._calling(text):
            return
        elif is_order(text) or text.endswith("?"):
            self._order(text)
        elif sayable and (is_statement(text) or fragment):
            self.facts.append(Fact(_aloud(as_business(text)), heading))

    def _conditional(self, text: str, condition: str, then: str) -> None:
        saying = _SAYING.match(then)
        if saying:
            quoted = _quoted(then)
            said = quoted or as_business(saying["what"])
            if quoted or not is_order(saying["what"]):
                self.facts.append(Fact(_aloud(said if quoted else to_callee(said)), condition))
        elif is_statement(then):
            self.facts.append(Fact(_aloud(to_callee(as_business(text))), condition))
        else:
            known = list(self.slots)
            purpose = list(self.purpose)
            self._order(then, always=not _BOOKING_CONDITION.search(condition))
            self.purpose = purpose
            self._depend(condition, known)

    def _depend(self, condition: str, known: list[str]) -> None:
        """Slots of "If they can't, ask …" belong to the yes-or-no question before it."""
        decides = next((key for key in reversed(known) if self.slots[key].kind == "yes_no"), None)
        if not decides or not _ANSWER_CONDITION.search(condition):
            return
        answer = "no" if _NEGATIVE.search(condition) else "yes"
        for key in self.slots.keys() - set(known):
            self.slots[key] = replace(self.slots[key], only_if=(decides, answer))

    def _calling(self, text: str) -> bool:
        """Take "You are calling the customer to remind them that …" as the purpose. Was it such a sentence?"""
        match = _CALLING.search(LEAD.sub("", text)) or _CALLING.search(text)
        if not match:
            return False
        link, what = match["link"] or match["link2"] or "to", match["what"] or match["what2"] or match["what3"]
        what = f"conduct {what}" if match["what3"] else what
        collects = link == "to" and any(_STRONG.match(clause) or _CONFIRM.match(clause) for clause in clauses(what))
        if link == "to":
            self._order(what)
        if not collects and not (link == "to" and self.purpose):
            self.purpose.append(_purpose(link, what))
        return True

    def _order(self, text: str, *, always: bool = True) -> None:
        quoted = _quoted(text)
        bare = LEAD.sub("", text)
        questions = [found for found in map(_quote_of, _QUOTE.finditer(text)) if found.endswith("?")]
        if quoted and _GREET.match(bare):
            self.greeting = self.greeting or quoted
        elif quoted and _END.match(bare):
            self.closing = self.closing or quoted
        elif questions:
            self._collect([question_slot(found) for found in questions], always=always)
        elif text.endswith("?") and not _STRONG.match(bare):
            self._collect([question_slot(_LABEL.sub("", text))], always=always)
        elif not _PROHIBITION.match(text):
            for clause in clauses(text):
                self._clause(clause, always=always)

    def _clause(self, clause: str, *, always: bool) -> None:
        confirm, strong, weak = _CONFIRM.match(clause), _STRONG.match(clause), _WEAK.match(clause)
        tell, duty = _TELL.match(clause), _DUTY_OUT.match(clause)
        if confirm:
            what = confirm["what"]
            self._collect(slots_of(what) if re.match("whether|if|that", what) else [_confirmation(what)], always=always)
        elif strong:
            what = strong["what"]
            self._collect([question_slot(what)] if what.endswith("?") else slots_of(what), always=always)
        elif clause.lower().startswith("confirm"):
            self._collect(known_slots(clause[len("confirm") :]), always=always)
        elif weak:
            self._collect(known_slots(weak["what"]), always=always)
        elif tell:
            self._tell(tell)
        elif duty:
            self.purpose.append(_purpose("to", duty["what"]))

    def _tell(self, match: re.Match[str]) -> None:
        what = _quoted(match["what"]) or match["what"]
        link = (match["link"] or "").lower()
        told = re.sub(r"^that\s+", "", what)
        if link in {"of", "about", "to"}:
            self.purpose.append(_purpose("to", f"{match['verb'].lower()} them {what}"))
        elif is_statement(told):
            said = _aloud(to_callee(as_business(told)))
            self.facts.append(Fact(said))
            reminds = match["verb"].lower() in {"remind", "inform", "notify"}
            self.purpose.append(_purpose("to", f"{match['verb'].lower()} them that {told}") if reminds else said)

    def _collect(self, slots: list[Slot], *, always: bool = True) -> None:
        for slot in slots:
            self.slots.setdefault(slot.key, slot)
        self.collects_always = self.collects_always or bool(slots and always)


def _is_outbound(instructions: str, reader: _Reader) -> bool:
    """Does the agent call people? Its words say so, or it has a purpose or a question and no caller is named."""
    if _OUTBOUND.search(instructions):
        return True
    asks = any(slot.kind == "yes_no" for slot in reader.slots.values())
    return bool(reader.purpose or asks) and not _INBOUND.search(instructions)


def _quoted(text: str) -> str | None:
    match = _QUOTE.search(text)
    return _quote_of(match) if match else None


def _quote_of(match: re.Match[str]) -> str:
    return (match["quoted"] or match["single"]).strip()


def _confirmation(what: str) -> Slot:
    spoken = to_callee(re.sub(r"^the\b", "your", what.strip(" ."), flags=re.IGNORECASE))
    return Slot("confirmed", "yes_no", f"Can you confirm {spoken}?", spoken)


def _purpose(link: str, what: str) -> str:
    first_clause = clauses(what)[0] if clauses(what) else what
    spoken = to_callee(
        re.sub(
            rf"^(remind|inform|notify|thank|invite|survey) {_WHOM}\b",
            r"\1 you",
            as_business(first_clause),
            flags=re.IGNORECASE,
        )
    )
    return _aloud(f"I am calling {link.lower()} {spoken[0].lower() + spoken[1:]}")


def _aloud(text: str) -> str:
    text = f"We are {text[0].lower()}{text[1:]}" if re.match("(?i)(?:open|closed)\\b", text) else text
    return sentence(for_speech(text))


def _pair_aloud(part: Passage) -> str:
    """The sentence that says a pair: of "Address: 5 Main Street" it is "We are at 5 Main Street."."""
    key, value = part.key, part.text.rstrip(".")
    if is_statement(value) and len(value.split()) > 5 and not value[0].isdigit():
        return _aloud(as_business(value))
    form = next((form for pattern, form in _PAIR_FORMS if pattern.match(key)), None)
    if form:
        value = re.sub(r"^(?:open|closed)\b", lambda state: state[0].lower(), value, flags=re.IGNORECASE)
        is_open = form.endswith("{value}") and not value.startswith(("open", "closed")) and "are open" not in form
        value = f"open {value}" if is_open and _DAY_KEY.match(key) else value
        return _aloud(form.format(key=for_speech(key), value=value))
    if re.match(r"[$€£]?\d", value) or (len(key.split()) <= 3 and len(value.split()) <= 3):
        plural = key.lower().endswith("s") and not key.lower().endswith("ss")
        return _aloud(f"{key} {'are' if plural else 'is'} {value}")
    return _aloud(f"{key}: {value}")


_DAY_KEY = re.compile(r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun|Weekday|Weekend|Daily)")
_PAIR_FORMS = (
    (
        re.compile(r"(?:(?:opening|business|office|our|store|working) )*(?:hours|times|open)$", re.IGNORECASE),
        "We are open {value}",
    ),
    (re.compile(r"(?:(?:our|street|office) )*(?:address|location)$", re.IGNORECASE), "We are at {value}"),
    (
        re.compile(r"(?:(?:our|office) )*(?:phone|telephone|phone number|e-?mail|web ?site)$", re.IGNORECASE),
        "Our {key} is {value}",
    ),
    (_DAY_KEY, "{key}: we are {value}"),
)
