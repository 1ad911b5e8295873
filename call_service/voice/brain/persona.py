"""Who the agent is: its name, what it does, for whom."""

import re
from dataclasses import dataclass

from call_service.spoken.words import words
from call_service.voice.brain.passages import Passage
from call_service.voice.ports import AgentProfile

_ROLES = (
    r"(?:(?:virtual|automated|digital|friendly|AI|phone|voice|front[- ]desk|customer|medical|dental|sales|support|"
    r"personal|helpful|professional|polite|booking|scheduling|appointment|service|survey|delivery|night|hotel|"
    r"restaurant|collections?|billing|office|intake|care|success|outreach|research|head|new|warm|senior|junior) )*"
    r"(?:receptionist|assistant|agent|host|hostess|secretary|representative|rep|operator|concierge|clerk|coordinator|"
    r"interviewer|collector|nurse|dispatcher|caller|scheduler|specialist|consultant|advisor|attendant|manager|helper|"
    r"bot|robot|waiter|waitress|employee|team member|member of staff|order[- ]taker|surveyor|staff)"
)
_WORD = r"[A-Z0-9][\w'.&-]*"
_BUSINESS = rf"(?P<business>{_WORD}(?: (?:{_WORD}|&|and|of|the|for|de|la)(?= |$|[,.;!]))*)"
_NAMED = r"(?P<name>[A-Z][a-z'-]+(?: [A-Z][a-z'-]+)?)"
_SELF = r"(?i:\b(?:you are|you're|your name is|your name's|i am|i'm|this is|named|called|act as|playing|meet))"
_NAME = re.compile(rf"{_SELF} {_NAMED}(?=[,.;]| (?:from|of|at|with|for|the|a|an|and|who|calling|working|\()|\s*$)")
_ROLE = re.compile(
    rf"(?i:\b(?:you are|you're|act as|i am|as|,|the agent is|acting as|be)) (?:(?i:an?|the|our) "
    rf")?(?P<role>(?i:{_ROLES}))\b"
)
_FOR = re.compile(
    rf"(?:{_ROLES}s?|(?i:\b(?:working|work|works|calling|call|answer\w*|phone calls|calls|on behalf|line|desk|"
    rf"survey|questionnaire|volunteer|employed))|"
    rf"(?i:calling)(?: [A-Z][a-z'-]+){{1,3}}|{_SELF} [A-Z][a-z'-]+),? (?i:of|for|at|from|with|on behalf of|by|"
    rf"to) (?:(?i:the|our|a|an) )?{_BUSINESS}"
)
_LOWER_FOR = re.compile(
    rf"\b{_ROLES} (?:of|for|at|from) (?:the )?(?P<business>[a-z][\w' &-]{{2,40}}?)(?=[.,;!]|$| and you| who | that )"
)
_LOWER_NAME = re.compile(rf"^you(?: a|')re (?P<name>[a-z'-]+),? (?:the|an?) {_ROLES}\b")
_NAME_KEYS = frozenset({"name", "agent name", "your name", "assistant name", "persona", "agent", "assistant"})
_BUSINESS_KEYS = frozenset(
    words("business company clinic restaurant organization organisation practice shop store brand firm hotel employer")
)
_ROLE_KEYS = frozenset({"role", "your role", "position", "job"})
_NOT_A_PERSON = re.compile(r"agent|assistant|bot\b|test|demo|reception|\d|_|untitled|new ", re.IGNORECASE)
_NOT_NAMES = frozenset(
    {
        "A",
        "An",
        "The",
        "Calling",
        "Open",
        "Closed",
        "Located",
        "Responsible",
        "Monday",
        "Not",
        "Our",
        "Ms",
        "Mr",
        "Mrs",
        "Dr",
    }
)


@dataclass(frozen=True, slots=True)
class Persona:
    """What the agent may say about itself; each may be unknown."""

    name: str | None = None
    role: str | None = None
    business: str | None = None

    @property
    def introduction(self) -> str:
        """How the agent introduces itself: "Maya from Bright Dental", or as much of it as is known."""
        if self.name and self.business:
            return f"{self.name} from {self.business}"
        if self.name:
            return self.name
        return f"the automated assistant of {self.business}" if self.business else "an automated assistant"


def persona_of(parts: list[Passage], profile: AgentProfile) -> Persona:
    """What the text says about the agent; the name of the profile is used where it looks like a person's."""
    prose = "\n".join(part.text for part in parts if part.kind != "answer")
    pairs = {part.key.lower(): part.text.rstrip(".") for part in parts if part.kind == "pair"}
    role = _ROLE.search(prose)
    return Persona(
        name=_keyed(pairs, _NAME_KEYS) or _name(prose) or _profile_name(profile.name),
        role=role["role"].lower() if role else None,
        business=_keyed(pairs, _BUSINESS_KEYS | {f"{key} name" for key in _BUSINESS_KEYS}) or _business(prose, pairs),
    )


def _keyed(pairs: dict[str, str], keys: frozenset[str]) -> str | None:
    return next((value for key, value in pairs.items() if key in keys and len(value.split()) <= 6), None)


def _name(prose: str) -> str | None:
    for match in _NAME.finditer(prose):
        if match["name"].split()[0] not in _NOT_NAMES:
            return match["name"]
    lower = re.search(_LOWER_NAME, prose) or re.search(_LOWER_NAME.pattern, prose.lower().strip())
    return lower["name"].capitalize() if lower and lower["name"] not in {"the", "a", "an"} else None


def _business(prose: str, pairs: dict[str, str]) -> str | None:
    for text in (prose, *(value for key, value in pairs.items() if key in _ROLE_KEYS)):
        match = _FOR.search(text)
        if match:
            return match["business"].rstrip(".,'")
    lower = _LOWER_FOR.search(prose)
    return lower["business"].strip().title() if lower else None


def _profile_name(name: str) -> str | None:
    tokens = name.split()
    plausible = 1 <= len(tokens) <= 2 and all(token.isalpha() and token[0].isupper() for token in tokens)
    return name if plausible and not _NOT_A_PERSON.search(name) else None
