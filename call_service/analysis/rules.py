"""Answers to questions without a language model: only what clear evidence in the call supports, else None and why.

Evidence is, in this order: a value that the agent collected under a name of the question, the callee's reply to a
question of the agent about the same thing, and for a Selector the only option that the callee mentioned.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from call_service.analysis.models import MAX_DIGITS, Answer, AnswerValue, CallFacts, Question
from call_service.spoken.answers import yes_or_no
from call_service.spoken.numbers import quantities
from call_service.spoken.words import plain, words
from call_service.voice.ports import Turn

NOT_SAID = "The call does not say."
UNCLEAR = "What was said does not answer it clearly."
SEVERAL = "Several options were mentioned."
NOBODY_SPOKE = "The other party said nothing that was understood."

_STOP = frozenset(
    words(
        """a about all an and any are as at be been by call called callee caller can client could customer did do
        does for from get give given had has have he her his how i if in is it its like many may much of
        on or our out person phone please prefer preferred said say she should tell that the their them
        they this to user want wanted was we were what when where which who whom will with would you your
        yes no"""
    )
)
_SAME = {
    "date": "day", "when": "day", "hour": "time", "guests": "people", "persons": "people", "telephone": "number",
    "mobile": "number", "called": "name", "who": "name", "reservation": "appointment", "booking": "appointment",
    "confirm": "confirmed", "confirms": "confirmed", "interested": "interest", "satisfaction": "satisfied",
    "recommendation": "recommend", "email": "email", "mail": "email",
}  # fmt: skip
_FLAG_WORDS = {
    "opt_out": frozenset({"opt", "remove", "removed", "unsubscribe", "stop", "again"}),
    "callback": frozenset({"callback", "back"}),
    "wrong_number": frozenset({"wrong"}),
}
# A bare name or number is the callee's own: "the dog's name" and "the policy number" are other things.
_OWN = {
    "name": frozenset({"name", "full", "first", "last", "family", "own"}),
    "number": frozenset({"number", "contact", "callback", "own"}),
}
_MIN_OVERLAP = 0.5


def answer_by_rules(question: Question, turns: Sequence[Turn], facts: CallFacts) -> Answer:
    """The answer that the call clearly gives, or None with its reason."""
    answer, reason = _answered(question, turns, facts)
    return Answer(question=question.question, type=question.type, answer=answer, reason=reason)


def _answered(question: Question, turns: Sequence[Turn], facts: CallFacts) -> tuple[AnswerValue, str | None]:
    evidence = [*_collected(question, facts), *_replies(question, turns)]
    for text in evidence:
        answer = _as_type(question, text)
        if answer is not None:
            return answer, None
    if question.type == "Selector":
        return _mentioned(question, turns)
    if not any(turn.role == "user" for turn in turns):
        return None, NOBODY_SPOKE
    return None, UNCLEAR if evidence else NOT_SAID


def _as_type(question: Question, text: str) -> AnswerValue:
    match question.type:
        case "Boolean":
            answer = yes_or_no(text)
            return None if answer is None else "Yes" if answer else "No"
        case "Number":
            return _number(text)
        case "Selector":
            found = _options_in(question, text)
            return found[0] if len(found) == 1 else None
        case "Text":
            return text.strip() or None


def _number(text: str) -> int | float | None:
    found = quantities(text)
    if len(found) != 1 or abs(found[0]) >= 10**MAX_DIGITS:
        return None
    return int(found[0]) if found[0].is_integer() else found[0]


def _collected(question: Question, facts: CallFacts) -> Iterator[str]:
    """Collected values whose name is in the question, the most specific first."""
    asked = _terms(question.question)
    flags = {key for key, known in _FLAG_WORDS.items() if known & set(words(question.question))}
    named = [
        (len(terms), value)
        for key, value in facts.data.items()
        if (terms := _terms(key.replace("_", " "))) and terms <= asked and not _is_anothers(terms, asked)
    ]
    yield from (facts.data[key] for key in flags if key in facts.data)
    yield from (value for _, value in sorted(named, key=lambda found: -found[0]))


def _replies(question: Question, turns: Sequence[Turn]) -> Iterator[str]:
    """What the callee said next after the agent asked about the same thing, the latest first."""
    asked = _terms(question.question)
    pairs = [(turn, reply) for turn, reply in pairwise(turns) if turn.role == "agent" and reply.role == "user"]
    for turn, reply in reversed(pairs):
        about = _terms(_last_question(turn.text))
        common = about & asked
        if common and len(common) / min(len(about), len(asked)) >= _MIN_OVERLAP and not _is_anothers(common, asked):
            yield reply.text


def _is_anothers(common: set[str], asked: set[str]) -> bool:
    """Is the question about somebody else's name or number, when that word is all the evidence shares with it?"""
    [word, *more] = common
    return not more and word in _OWN and not asked <= _OWN[word]


def _last_question(text: str) -> str:
    found = re.findall(r"[^.?!]+\?", text)
    return found[-1] if found else ""


def _mentioned(question: Question, turns: Sequence[Turn]) -> tuple[AnswerValue, str | None]:
    said = " . ".join(turn.text for turn in turns if turn.role == "user")
    if not said:
        return None, NOBODY_SPOKE
    found = _options_in(question, said)
    if len(found) == 1 and found[0].casefold() not in {"yes", "no"}:
        return found[0], None
    return None, SEVERAL if len(found) > 1 else NOT_SAID


def _options_in(question: Question, text: str) -> list[str]:
    """The options that `text` names; one that is part of a longer named one does not count."""
    said = f" {plain(text)} "
    named = [option for option in question.options or () if f" {plain(option)} " in said]
    return [option for option in named if not any(plain(option) in plain(other) and option != other for other in named)]


def _terms(text: str) -> set[str]:
    spoken = words(re.sub(r"'s\b", "", text.replace("e-mail", "email")))
    kept = (word for given in spoken if (word := _SAME.get(given, given)) not in _STOP)
    return {term.removesuffix("s") if len(term) > 3 else term for term in kept}
