"""What the agent knows: finds the passage of its instructions that answers a question.

BM25 (bm25s, Lucene's variant) over stemmed words, after a table of what phone callers call the same thing. A question
is only answered when enough of what it asks about is in the passage; anything else is honestly unknown.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import snowballstemmer

from call_service.spoken.when import WEEKDAYS
from call_service.spoken.words import words

_STOP = frozenset(
    words(
        """a about actually all also am an and any are as ask at be because been but by can could did do does doing
        don't for from get give go going good got had has have he hello help her hey hi him his how i i'd
        i'm if in information is isn't it it's just know let like look looking make many may me might
        mind more my need no not of okay on one or other our out please possible question really right
        say see she should so some something sorry tell than thank thanks that that's the their them then
        there there's these they thing this those to today too um uh us very want wanted was we well were
        what what's when where which who why will wonder wondering with would yes yeah you your you're
        we're time times day days start starts currently exactly able anyone anything sure bit hear heard
        find kind come if possibly quick"""
    )
)
_TOPICS = {
    "hours": words("open opens opening opened close closes closing closed hour hours schedule oclock available"),
    "price": words(
        "price prices pricing cost costs fee fees charge charges rate rates expensive cheap dollar dollars euro "
        "euros pay usd eur pounds"),
    "place": words("address located location locations street avenue road directions situated place town"),
    "park": words("park parking car garage"),
    "phone": words("phone telephone call number contact reach"),
    "booking": words("appointment appointments booking bookings book reservation reservations reserve schedule table"),
    "cancel": words("cancel cancels cancellation cancelling reschedule rescheduling postpone"),
    "insurance": words("insurance insurances insured coverage insurer"),
    "payment": words(
        "payment payments card cards cash credit debit visa mastercard paypal instalment instalments installments "
        "financing"),
    "deliver": words("deliver delivers delivery deliveries delivering shipping ship"),
    "vegetarian": words("vegetarian vegan veggie"),
    "children": words("child children kid kids pediatric"),
    "weekend": ["weekend", "weekends"],
    "pets": words("pet pets dog dogs cat cats animal animals"),
    "website": words("website web online site internet"),
    "email": words("email e-mail mail"),
    "emergency": words("emergency emergencies urgent urgently pain"),
    "wheelchair": words("wheelchair accessible accessibility disabled ramp"),
}  # fmt: skip
_CANONICAL = {word: topic for topic, members in _TOPICS.items() for word in members}
_IMPLIED = (
    (re.compile(r"\bhow much\b", re.IGNORECASE), "price"),
    (re.compile(r"[$€£]\s?\d|\b\d+ ?(?:dollars|euros|pounds|usd|eur)\b", re.IGNORECASE), "price"),
    (re.compile(r"\bwhere\b|\bhow (?:do|can) (?:i|we) (?:get|come)\b", re.IGNORECASE), "place"),
    (re.compile(r"\b(?:what time|when) (?:do|does|are|is|can|will)\b", re.IGNORECASE), "hours"),
    (re.compile(r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b.*\d", re.IGNORECASE), "hours"),
    (re.compile(r"\b(?:satur|sun)day", re.IGNORECASE), "weekend"),
    (re.compile(r"\b(?:visa|mastercard|cash)\b", re.IGNORECASE), "payment"),
    (re.compile(r"\b\d+ (?:\w+ ){1,3}(?:st|street|ave|avenue|road|rd|lane|drive|square)\b", re.IGNORECASE), "place"),
)  # fmt: skip
_COMPOUND = re.compile(r"\b([a-z]+)-([a-z]+)\b")
_DAYS = frozenset({*WEEKDAYS, "weekend", "holiday", "tomorrow", "tonight", "morn", "even", "afternoon"})
_MIN_COVERAGE = 0.5
_NEAR_BEST = 0.8
_MAX_ANSWERS = 3


@dataclass(frozen=True, slots=True)
class Fact:
    """Something the agent may say. `about` are words it is found by, beside its own."""

    text: str
    about: str = ""


class Knowledge:
    """Searchable facts of one agent."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self._facts = facts
        self._stem = snowballstemmer.stemmer("english").stemWord
        self._terms = [self._terms_of(f"{fact.about} {fact.text}") for fact in facts]
        self._index = bm25s.BM25(method="lucene")
        if any(self._terms):
            self._index.index([sorted(terms) for terms in self._terms], show_progress=False)

    def answer(self, question: str) -> list[str]:
        """Sentences that answer `question`, best first; empty when the instructions do not say."""
        asked = self._terms_of(question)
        needed = self._needed(question)
        if not asked or not any(self._terms):
            return []
        scores = self._index.get_scores(sorted(asked))
        covered = [len(asked & terms) for terms in self._terms]
        best = max(range(len(scores)), key=lambda place: (covered[place], scores[place]))
        if len(needed & self._terms[best]) / len(needed) < _MIN_COVERAGE or scores[best] <= 0:
            return []
        near = [
            place
            for place, score in enumerate(scores)
            if place != best and covered[place] == covered[best] and score >= _NEAR_BEST * scores[best]
        ]
        return [self._facts[place].text for place in [best, *near][:_MAX_ANSWERS]]

    def _needed(self, question: str) -> set[str]:
        """What a passage has to be about: the words of the question, or its topics when it has no words of its own.

        "Are you open on Saturdays?" is answered by the opening hours, whether or not they name that day.
        """
        named = self._named(question)
        return (named - _DAYS if "hour" in named else named) or self._terms_of(question)

    def _terms_of(self, text: str) -> set[str]:
        return self._named(text) | {self._stem(topic) for found, topic in _IMPLIED if found.search(text)}

    def _named(self, text: str) -> set[str]:
        compounds = (f"{first}{second}" for first, second in _COMPOUND.findall(text.lower()))  # "check-up", "checkup"
        said = (*words(text.replace("-", " ")), *compounds)
        stems = {self._stem(_CANONICAL.get(word, word)) for word in said if word not in _STOP}
        return {stem for stem in stems if len(stem) > 1}
