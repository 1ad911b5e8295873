"""The course of one call, without a language model: a pure state machine from what was heard to what to say.

Bounded by construction: a question that failed twice is given up, six turns in a row without progress or forty turns in
all end the call politely.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from enum import Enum, auto

from call_service.spoken.answers import is_refusal, yes_or_no
from call_service.spoken.words import plain
from call_service.voice.brain import intents
from call_service.voice.brain.asking import DAY, MESSAGE, NAME, NUMBER, ORDER, PEOPLE, TIME, Slot
from call_service.voice.brain.brief import Brief
from call_service.voice.brain.expects import say
from call_service.voice.brain.form import Form
from call_service.voice.brain.intents import Intent
from call_service.voice.brain.knowledge import Knowledge
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.ports import BrainOutput, Collected, EndCall, Say

MAX_TURNS = 40
_WORDS_OF_A_WISH = 3
_MAX_HEARD = 1_000  # characters; a minute of speech
_MAX_IDLE = 5
_MAX_CONFIRMATIONS = 3
_HELP = "How can I help you?"
_MORE = Say("Is there anything else I can help you with?", "yes_no")
_ANY_QUESTIONS = Say("Do you have any questions about that?", "yes_no")
_IS_THAT_RIGHT = Say("Is that right?", "yes_no")
_PASS_ON = Say("Shall I pass your question on?", "yes_no")
_PASS_MESSAGE = Say("Shall I pass that on as a message?", "yes_no")
_APPOINTMENT = Say("Would you like to make an appointment?", "yes_no")
_TABLE = Say("Would you like to book a table?", "yes_no")
_AT_ONCE = frozenset(Intent) - {Intent.HOLD, Intent.WHY_DO_YOU_CALL, Intent.HOW_ARE_YOU}  # these may hold a value too
_NO_FURTHER = "I am sorry that I could not help you further."
_CHANGE = Say("What should I change?")
_MISHEARD = Say("I am sorry, I did not understand that.")
_UNKNOWN = Say("I am sorry, I do not know that.")


class _Awaits(Enum):
    """What the last question was about."""

    NOTHING = auto()
    SLOTS = auto()
    CONFIRMATION = auto()
    CHANGE = auto()
    BOOKING = auto()
    PASSING_ON = auto()
    MORE = auto()


class Dialogue:
    """One call."""

    def __init__(self, brief: Brief, knowledge: Knowledge) -> None:
        self._brief = brief
        self._knowledge = knowledge
        self._form = Form(brief.slots)
        self._awaits = _Awaits.NOTHING
        self._asked: tuple[Slot, ...] = ()
        self._collecting = brief.is_outbound and brief.collects_always
        self._told_purpose = False
        self._offered_booking = False
        self._confirmed = False
        self._to_pass_on = ""
        self._passed_on: list[str] = []
        self._last_said: list[Say] = []
        self._last_offer = _MORE
        self._turns = self._idle = self._confirmations = 0
        self._ended = False
        self._found: Sequence[str] = ()

    def copy(self) -> "Dialogue":
        """As it is now; what the agent knows is shared."""
        return deepcopy(self, {id(shared): shared for shared in (self._brief, self._knowledge)})

    def open(self) -> list[BrainOutput]:
        """What the agent says first."""
        greeting = [say(text) for text in split_sentences(self._brief.greeting or "")]
        if greeting:
            self._asked = self._form.matching(greeting[-1].text)
            self._awaits = _Awaits.SLOTS if self._asked else _Awaits.NOTHING
            return self._said(list(greeting))
        hello = Say(f"Hello, this is {self._brief.persona.introduction}.")
        return self._said([hello, *(self._lead() if self._brief.is_outbound else [Say(_HELP)])])

    def silence(self, count: int) -> list[BrainOutput]:
        """What to say when nothing is heard."""
        if count >= 2:
            return [Say("I cannot hear you, so I will hang up now."), Say("Goodbye."), EndCall()]
        return [Say("Are you still there?", "yes_no")]

    def knows(self, question: str) -> bool:
        """Do the instructions answer it?"""
        return bool(self._knowledge.answer(question))

    def hear(self, heard: str, found: Sequence[str] = ()) -> list[BrainOutput]:
        """Answer one utterance; `found` are sentences of documents that answer what the instructions do not."""
        self._found = found
        self._turns += 1
        if self._ended:
            return [Say("Goodbye."), EndCall()]
        outputs = self._react(heard[:_MAX_HEARD])
        if EndCall() not in outputs and (self._turns >= MAX_TURNS or self._idle > _MAX_IDLE):
            return [*(output for output in outputs if isinstance(output, Collected)), *self._close(_NO_FURTHER)]
        return self._said(outputs)

    def _said(self, outputs: list[BrainOutput]) -> list[BrainOutput]:
        self._last_said = [output for output in outputs if isinstance(output, Say)]
        return outputs

    # --- What was heard ------------------------------------------------------------------------------------------

    def _react(self, heard: str) -> list[BrainOutput]:
        if not plain(heard):
            self._idle += 1
            return [_MISHEARD, *self._again()]
        intent = intents.intent_of(heard)
        if intent in _AT_ONCE:
            return self._intended(intent)
        awaited = self._awaited(heard)
        if awaited is not None:
            self._idle = 0
            return awaited
        if intents.says_goodbye(heard) or (intents.is_done(heard) and not self._collecting):
            return self._close()
        if intent:
            wanted = self._beside_hold(heard) if intent is Intent.HOLD else ""
            return self._react(wanted) if wanted else self._intended(intent)
        return self._request(heard)

    @staticmethod
    def _beside_hold(heard: str) -> str:
        """What more than "one moment" is said: "I have one minute. A table for four, please."."""
        rest = " ".join(part for part in split_sentences(heard) if intents.intent_of(part) is not Intent.HOLD)
        return rest if len(plain(rest).split()) >= _WORDS_OF_A_WISH else ""

    def _awaited(self, heard: str) -> list[BrainOutput] | None:
        """The answer to what was asked, or None when `heard` is something else."""
        match self._awaits:
            case _Awaits.CONFIRMATION | _Awaits.CHANGE:
                return self._confirmation(heard)
            case _Awaits.BOOKING | _Awaits.PASSING_ON:
                return self._offer_answered(heard)
            case _Awaits.MORE:
                return self._more(heard)
            case _:
                return self._values(heard)

    def _values(self, heard: str) -> list[BrainOutput] | None:
        questions = [part for part in split_sentences(heard) if intents.is_question(part)]
        stated = " ".join(part for part in split_sentences(heard) if part not in questions)
        if self._wants_something(stated):
            self._add_wanted(stated)
        changed = self._form.fill(stated, self._asked) if stated and not self._is_only_talk(stated) else []
        if not changed:
            return None
        self._collecting = True
        collected = self._collected(changed)
        if intents.says_goodbye(heard):
            return [*collected, *self._close()]
        answer = self._answer(" ".join(questions)) if questions else []
        lead = self._lead()
        thanks = [] if answer or self._ended else [self._thanks(changed)]
        return [*collected, *answer, *thanks, *lead]

    def _is_only_talk(self, stated: str) -> bool:
        """A free-text slot takes whatever is said, so what is no answer has to be kept from it."""
        free = any(slot.kind in {"text", "order"} for slot in self._asked)
        talk = (
            intents.is_greeting(stated) or intents.intent_of(stated) is not None or intents.announces_question(stated)
        )
        leaves = intents.says_goodbye(stated) or is_refusal(stated)
        return free and (talk or leaves or plain(stated) in {"yes", "okay", "sure", "thank you", "thanks"})

    def _confirmation(self, heard: str) -> list[BrainOutput] | None:
        changed = self._form.correct(heard)
        answer = yes_or_no(heard)
        if changed:
            return [*self._collected(changed), *self._close_or(heard, self._lead)]
        if answer and self._awaits is _Awaits.CONFIRMATION:
            self._confirmed = True
            confirmed = Collected("confirmed", "yes")
            return [confirmed, *self._close_or(heard, self._noted)]
        if answer is False and not intents.says_goodbye(heard):
            return self._ask_for_change()
        return None

    def _ask_for_change(self) -> list[BrainOutput]:
        self._confirmations += 1
        if self._confirmations >= _MAX_CONFIRMATIONS:
            return self._leave_unconfirmed()
        self._awaits = _Awaits.CHANGE
        return [_CHANGE]

    def _leave_unconfirmed(self) -> list[BrainOutput]:
        self._confirmed = True
        return [Collected("confirmed", "no"), Say("I will note that this still has to be checked."), *self._lead()]

    def _offer_answered(self, heard: str) -> list[BrainOutput] | None:
        answer = yes_or_no(heard)
        offered, self._awaits = self._awaits, _Awaits.NOTHING
        if answer is None or intents.is_question(heard):
            return self._values(heard)
        if offered is _Awaits.PASSING_ON:
            return [*(self._pass_on() if answer else [Say("All right.")]), *self._close_or(heard, self._lead)]
        if answer:
            return self._book(heard)
        return self._close_or(heard, self._offer_more)

    def _pass_on(self) -> list[BrainOutput]:
        self._passed_on.append(self._to_pass_on)
        return [Collected("message", " / ".join(self._passed_on)), Say("I have noted it.")]

    def _more(self, heard: str) -> list[BrainOutput] | None:
        if intents.is_question(heard):
            return None
        changed = self._form.fill(heard, ()) if intents.corrects(heard) else []
        if changed:
            self._confirmed = False
            return [*self._collected(changed), *self._lead()]
        answer = yes_or_no(heard)
        if answer is False or intents.is_done(heard) or intents.says_goodbye(heard):
            return self._close()
        if answer and len(plain(heard).split()) <= 2:
            self._awaits = _Awaits.NOTHING
            return [Say("What can I do for you?")]
        return None

    def _request(self, heard: str) -> list[BrainOutput]:
        """Something that was not asked for: a question, a wish, or nothing that is understood."""
        if intents.announces_question(heard) and not intents.is_question(heard.replace("?", "")):
            self._idle += 1
            return [Say("Of course, go ahead.")]
        if intents.is_question(heard):
            answer = self._answer(heard)
            if answer or not self._wants_something(heard):
                return [*answer, *self._lead()] if answer else self._unknown(heard)
        if self._wants_something(heard):
            self._idle += 1
            return self._book(heard)
        if self._collecting and not intents.is_greeting(heard):
            return self._no_value(heard)
        return self._small_talk(heard)

    def _small_talk(self, heard: str) -> list[BrainOutput]:
        self._idle += 1
        if intents.is_greeting(heard) or intents.says_thanks(heard):
            return self._again()
        answer = self._answer(heard)
        if answer:
            return [*answer, *self._lead()]
        if self._brief.slots and self._brief.collects_always and not self._confirmed:
            self._collecting = True
            return self._lead()
        if self._brief.is_outbound and not self._told_purpose:
            return self._lead()
        if len(plain(heard).split()) < 4:
            return [_MISHEARD, *self._again()]
        self._to_pass_on, self._awaits = heard, _Awaits.PASSING_ON
        return [Say("I am sorry, I cannot help with that myself."), _PASS_MESSAGE]

    def _no_value(self, heard: str) -> list[BrainOutput]:
        self._idle += 1
        if self._awaits is not _Awaits.SLOTS:
            return [_MISHEARD, *self._again()]
        if is_refusal(heard):
            self._form.skip(self._asked)
        if is_refusal(heard) or self._form.miss(self._asked):
            self._idle = 0  # the next question is a new chance; there are only so many
            return [Say("No problem, we can leave that open."), *self._lead()]
        return [_MISHEARD, *self._lead()]

    # --- What the agent does -------------------------------------------------------------------------------------

    def _lead(self) -> list[BrainOutput]:
        """The agent's next step: the purpose, the next question, the reading back, or the end."""
        purpose = self._purpose()
        if self._collecting and self._form.open_slots:
            question, self._asked = self._form.question()
            self._awaits = _Awaits.SLOTS
            return [*purpose, question]
        self._asked = ()
        if self._form.needs_reading_back and not self._confirmed:
            return [*purpose, *self._read_back()]
        if self._brief.is_outbound and (self._form.values or self._brief.collects_always):
            return self._close()
        if purpose:
            self._awaits = _Awaits.MORE
            self._last_offer = _ANY_QUESTIONS
            return [*purpose, _ANY_QUESTIONS]
        return self._offer_more()

    def _purpose(self) -> list[BrainOutput]:
        if self._told_purpose or not self._brief.is_outbound:
            return []
        self._told_purpose = True
        if self._brief.purpose or not self._brief.collects_always:
            return [Say(text) for text in self._brief.purpose]
        return [Say("I have a short question." if len(self._brief.slots) == 1 else "I have a few short questions.")]

    def _read_back(self) -> list[BrainOutput]:
        self._confirmations += 1
        if self._confirmations > _MAX_CONFIRMATIONS:
            return self._leave_unconfirmed()
        self._awaits = _Awaits.CONFIRMATION
        return [Say(f"Let me repeat: {self._form.read_back()}."), _IS_THAT_RIGHT]

    def _offer_more(self) -> list[BrainOutput]:
        self._collecting = False
        if self._brief.slots and not self._form.values and not self._offered_booking and self._form.has(DAY.key):
            self._offered_booking = True
            self._awaits = _Awaits.BOOKING
            return [_TABLE if self._form.has(PEOPLE.key) else _APPOINTMENT]
        self._awaits, self._last_offer = _Awaits.MORE, _MORE
        return [_MORE]

    def _noted(self) -> list[BrainOutput]:
        told = [] if self._brief.is_outbound else [Say(text) for text in self._brief.purpose]
        return [Say("Thank you, I have noted everything."), *told, *self._lead()]

    def _again(self) -> list[BrainOutput]:
        """The question that is open, once more; it does not count as another chance."""
        match self._awaits:
            case _Awaits.SLOTS if self._form.open_slots:
                question, self._asked = self._form.question()
                return [question]
            case _Awaits.CONFIRMATION:
                return [_IS_THAT_RIGHT]
            case _Awaits.CHANGE:
                return [_CHANGE]
            case _Awaits.MORE:
                return [self._last_offer]
            case _ if self._brief.is_outbound and (self._collecting or not self._told_purpose):
                return self._lead()
            case _:
                return [Say(_HELP)]

    def _book(self, heard: str) -> list[BrainOutput]:
        """Take down what an appointment, an order or a message needs, whether the instructions say so or not."""
        self._collecting = True
        self._confirmed = False
        self._add_wanted(heard)
        changed = self._form.fill(heard, ())
        return [*self._collected(changed), Say("Gladly, I will note that for you."), *self._lead()]

    def _wants_something(self, heard: str) -> bool:
        wants = intents.wants_booking(heard) or intents.wants_to_order(heard) or intents.wants_message(heard)
        return wants and not (self._collecting and self._awaits is _Awaits.SLOTS and self._form.values)

    def _add_wanted(self, heard: str) -> None:
        if intents.wants_to_order(heard):
            self._form.add([ORDER, NAME, NUMBER])
        elif intents.wants_message(heard):
            self._form.add([NAME, NUMBER, MESSAGE])
        elif intents.wants_booking(heard):
            dated = self._form.has(DAY.key, TIME.key)
            people = [PEOPLE] if intents.wants_table(heard) else []
            self._form.add([NAME] if dated else [NAME, *people, DAY, TIME])

    def _answer(self, question: str) -> list[BrainOutput]:
        found = self._knowledge.answer(question) or self._found
        self._idle = 0 if found else self._idle
        return [Say(text) for text in found]

    def _unknown(self, heard: str) -> list[BrainOutput]:
        self._idle += 1
        self._to_pass_on, self._awaits = heard, _Awaits.PASSING_ON
        return [_UNKNOWN, _PASS_ON]

    def _collected(self, slots: list[Slot]) -> list[BrainOutput]:
        return [Collected(slot.key, self._form.values[slot.key]) for slot in slots]

    def _thanks(self, changed: list[Slot]) -> Say:
        named = any(slot.kind == "name" for slot in changed) and self._form.first_name
        return Say(
            f"Thank you, {self._form.first_name}." if named else "Thank you." if self._turns % 2 else "All right."
        )

    def _close_or(self, heard: str, otherwise: Callable[[], list[BrainOutput]]) -> list[BrainOutput]:
        return self._close() if intents.says_goodbye(heard) else otherwise()

    def _close(self, first: str = "") -> list[BrainOutput]:
        self._ended = True
        apology: list[BrainOutput] = [Say(first)] if first else []
        if self._brief.closing:
            return [*apology, *map(Say, split_sentences(self._brief.closing)), EndCall()]
        name = f", {self._form.first_name}" if self._form.first_name else ""
        return [*apology, Say(f"Thank you for your time{name}."), Say("Goodbye."), EndCall()]

    # --- Intents -------------------------------------------------------------------------------------------------

    def _intended(self, intent: Intent) -> list[BrainOutput]:
        reactions = {
            Intent.OPT_OUT: self._opt_out,
            Intent.WRONG_NUMBER: self._wrong_number,
            Intent.REPEAT: self._repeat,
            Intent.HOLD: self._hold,
            Intent.ARE_YOU_A_ROBOT: self._robot,
            Intent.WHO_ARE_YOU: self._who,
            Intent.WHY_DO_YOU_CALL: self._why,
            Intent.WANTS_HUMAN: self._human,
            Intent.HOW_ARE_YOU: self._how_are_you,
        }
        return reactions[intent]()

    def _opt_out(self) -> list[BrainOutput]:
        self._ended = True
        return [
            Collected("opt_out", "yes"),
            Say("I apologize for the disturbance, I will note that you do not want to be called."),
            Say("Goodbye."),
            EndCall(),
        ]

    def _wrong_number(self) -> list[BrainOutput]:
        self._ended = True
        return [
            Collected("wrong_number", "yes"),
            Say("I am sorry, I have the wrong number."),
            Say("Goodbye."),
            EndCall(),
        ]

    def _repeat(self) -> list[BrainOutput]:
        self._idle += 1
        return list(self._last_said) or self._again()

    def _hold(self) -> list[BrainOutput]:
        self._idle += 1
        return [Say("Of course, take your time.")]

    def _robot(self) -> list[BrainOutput]:
        self._idle += 1
        business = self._brief.persona.business
        return [Say(f"Yes, I am an AI assistant{f' of {business}' if business else ''}."), *self._again()]

    def _who(self) -> list[BrainOutput]:
        self._idle += 1
        ai = "" if "assistant" in self._brief.persona.introduction else ", an AI assistant"
        self._told_purpose = False
        return [Say(f"This is {self._brief.persona.introduction}{ai}."), *self._purpose(), *self._again()]

    def _why(self) -> list[BrainOutput]:
        self._idle += 1
        self._told_purpose = False
        return self._purpose() + self._again() if self._brief.purpose else self._who()

    def _human(self) -> list[BrainOutput]:
        self._collecting = True
        self._idle += 1
        self._form.focus([NAME, NUMBER])
        return [
            Collected("callback", "yes"),
            Say("I cannot connect you, but I will note that you would like to be called back by a person."),
            *self._lead(),
        ]

    def _how_are_you(self) -> list[BrainOutput]:
        self._idle += 1
        return [Say("I am fine, thank you for asking."), *self._again()]
