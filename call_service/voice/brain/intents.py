"""What the callee wants, beside giving values: recognised by how people say it."""

import re
from enum import Enum, auto

from call_service.spoken.words import plain


class Intent(Enum):
    """What an utterance does, in the order in which they are looked for."""

    OPT_OUT = auto()
    WRONG_NUMBER = auto()
    REPEAT = auto()
    HOLD = auto()
    ARE_YOU_A_ROBOT = auto()
    WHO_ARE_YOU = auto()
    WHY_DO_YOU_CALL = auto()
    WANTS_HUMAN = auto()
    HOW_ARE_YOU = auto()


_PATTERNS = {
    Intent.OPT_OUT:
        r"\b(not interested|no interest|remove me|take me off|stop calling|(don't|do not|never) (ever )?call ((me|"
        r"us|here|this number)( again)?$|(me|us|here|this number) (again|any ?more|ever)|again|any ?more)|leave me "
        r"alone|unsubscribe|do not call list|go away)\b",
    Intent.WRONG_NUMBER: r"\b(wrong number|no one (here )?(by|with) that name|wrong person)\b",
    Intent.REPEAT:
        r"\b((say|repeat) (that|it|this) ?(again|once more|please)?$|say (that|it) again|repeat (that|it|the|your)|"
        r"come again|once again|one more time|pardon( me)?\b|what did you say|what was that|didn't (hear|catch|get|"
        r"understand)|couldn't (hear|understand)|can't hear( you)?|don't understand|speak (up|slower))|^(sorry|"
        r"excuse me|what|huh)( what)?$",
    Intent.HOLD:
        r"\b(hold on|hang on|one (moment|second|sec|minute)|just a (moment|second|sec|minute)|wait a (moment|"
        r"second|minute|sec)|give me a (moment|second|minute|sec)|let me (check|look|see|think)|bear with me)\b",
    Intent.ARE_YOU_A_ROBOT:
        r"\b(are you|is this|am i (talking|speaking) (to|with)|you're|you are|you sound like|sounds "
        r"like)\b.*\b(robot|bot|ai|a i|machine|computer|real|human|person|recording|automated|artificial)\b",
    Intent.WHO_ARE_YOU:
        r"\b(who('s| is| are) (this|that|you|calling|speaking|there)|who am i (speaking|talking)|what('s| is) your "
        r"name|your name again|where are you calling from|which company|what company|are you calling from|(state|"
        r"give me|tell me|have) your name|who (may|shall|should|can) i say)\b",
    Intent.WHY_DO_YOU_CALL:
        r"\b(what('s| is) (this|it|that|your call) (all )?(about|regarding|concerning)|what (this|it|your call) is "
        r"(all )?(about|regarding|concerning)|why (are you|you are|you're) calling|why do you call|"
        r"what do you want|what are you calling about|the reason (for|of) (your|the) call|(what|how) can i (do|"
        r"help) (for )?you|how may i help)\b",
    Intent.WANTS_HUMAN:
        r"\b(speak|talk|connect|transfer|put|pass)\b.*\b(human|real person|person|someone|somebody|operator|"
        r"representative|manager|supervisor|agent|boss|owner|doctor)\b",
    Intent.HOW_ARE_YOU: r"\bhow are you\b|\bhow's it going\b|\bhow do you do\b",
}  # fmt: skip
_INTENTS = {intent: re.compile(pattern) for intent, pattern in _PATTERNS.items()}
_GOODBYE = re.compile(
    r"\b(good ?bye|bye( bye)?|talk to you (later|soon)|see you|have a (nice|good|great|lovely) (day|evening|"
    r"night|weekend|one|time)|take care|good night|hanging up|gotta go|got to go|have to go)\b"
)
_THAT_IS_ALL = re.compile(
    r"\b(that's|that is|that'll be|that will be|that would be|that was) (all|it|everything)\b|\bnothing (else|"
    r"more)\b|\b(i'm|i am|we're) (all set|done|good)\b|^(no )?(thanks|thank you)( (very|so) much| a lot)?$|"
    r"\bno (more )?(further )?questions\b"
)
_THANKS = re.compile(r"\b(thanks|thank you|cheers)\b")
_GREETING = re.compile(
    r"^(?=.*\b(hi|hello|hey|good|there|speaking|allo)\b)((hi|hello|hey|good (morning|afternoon|evening|day)|"
    r"yes|yeah|there|anybody|you|are|speaking|this is|allo|who) ?)+$"
)
_BOOK = re.compile(
    r"\b(appointment|book(ing)?|reserv(e|ation)|(re)?schedul(e|ing)|another (day|date)|table for|come in|check "
    r"?up|make a date|see (the|a) "
    r"(doctor|dentist))\b"
)
_TABLE = re.compile(r"\b(table|reserv(e|ation))\b")
_ORDER = re.compile(
    r"\b(place an order|(like|want|need) to order|order (a|an|some|two|three|the|for)|make an order|i'll have|"
    r"can i (get|have) (a|an|some|two|three)|take ?out|take ?away)\b"
)
_MESSAGE = re.compile(r"\b(leave|take|pass (on)?) a message\b|\bcall me back\b|\bcall back\b")
_QUESTION_START = re.compile(
    r"^((?:so|and|um|uh|well|oh|okay|ok|yes|yeah|no|hi|hello|hey|but|actually|sorry|excuse me|thanks|thank you|"
    r"great|alright|also|first|there|just|please|maybe) )*(?:what|what's|when|where|where's|which|who|who's|"
    r"why|how|how's|is|are|do|does|did|can|could|will|would|should|may (?:i|we)|have you|has|isn't|aren't|"
    r"don't|doesn't|any)\b"
)
_QUESTION_WORD = re.compile(
    r"\b(what|when|where|which|who|why|how|is|are|do|does|did|can|could|will|would|should|have|has|any)\b"
)
_QUESTION_PHRASE = re.compile(
    r"\b(tell me|like to know|want to know|wanted to know|wondering|i wonder|wanted to ask|like to ask|"
    r"question (is|about)|what about|how much|how long|what time|do you (have|offer|take|accept|do|know|"
    r"deliver)|are you open|information (about|on))\b"
)
_BARE_QUESTION = re.compile(
    r"\b(i have|i've got|got|have|had) (a|another|one|one more|some|a few|a quick)( quick| other| more)? "
    r"questions?\b|\bask (you )?(something|a question)\b"
)
_PROPOSAL = re.compile(
    r"\b((can|could|may) (i|we) (come|have|get|book|make|do|schedule|reserve|take|see)|how about|would .* "
    r"(work|be possible|be okay|suit)|is .* (possible|okay|ok|free|available|good)|do you have (anything|"
    r"something|a slot|time|space|availability|room|a table|an appointment)|(can|could) you do)\b"
)
_CORRECTION = re.compile(
    r"\b(no|not|wrong|actually|i mean|i meant|rather|sorry|change|make (it|that)|instead|correction|wait)\b"
)


def intent_of(heard: str) -> Intent | None:
    """The first intent that `heard` shows, or None."""
    said = plain(heard)
    return next((intent for intent, pattern in _INTENTS.items() if pattern.search(said)), None)


def says_goodbye(heard: str) -> bool:
    """Does the callee take leave?"""
    return _GOODBYE.search(plain(heard)) is not None


def is_done(heard: str) -> bool:
    """Has the callee nothing more to say: "that's all", "no, thanks", or only a thank-you?"""
    return _THAT_IS_ALL.search(plain(heard)) is not None


def says_thanks(heard: str) -> bool:
    """Is there a thank-you in it?"""
    return _THANKS.search(plain(heard)) is not None


def is_greeting(heard: str) -> bool:
    """Is it nothing but a greeting, or a "yes?" to find out who is there?"""
    return _GREETING.match(plain(heard)) is not None


def wants_booking(heard: str) -> bool:
    """Does the callee want an appointment or a table?"""
    return _BOOK.search(plain(heard)) is not None


def wants_table(heard: str) -> bool:
    """Is it a table that they want?"""
    return _TABLE.search(plain(heard)) is not None


def wants_to_order(heard: str) -> bool:
    """Does the callee want to order something?"""
    return _ORDER.search(plain(heard)) is not None


def wants_message(heard: str) -> bool:
    """Does the callee want to leave a message, or be called back?"""
    return _MESSAGE.search(plain(heard)) is not None


def is_question(heard: str) -> bool:
    """Is it a question, with or without its mark? "Could I come on Friday?" is a proposal, not a question."""
    said = plain(heard)
    if _PROPOSAL.search(said):
        return False
    marked = heard.rstrip().endswith("?") and _QUESTION_WORD.search(said)  # "Thursday?" only sounds like one
    return not is_greeting(heard) and bool(marked or _QUESTION_START.match(said) or _QUESTION_PHRASE.search(said))


def announces_question(heard: str) -> bool:
    """Is it "I have a question", without the question?"""
    return _BARE_QUESTION.search(plain(heard)) is not None


def corrects(heard: str) -> bool:
    """Does it take back something said before?"""
    return _CORRECTION.search(plain(heard)) is not None


def after_correction(heard: str) -> str:
    """What is left of "Thursday, no, Friday" or "not Thursday but Friday": "Friday"."""
    return re.split(
        r"(?i)\b(?:no|actually|i mean|i meant|rather|sorry|instead of .*|not \w+(?:,| but)?|wait)\b[,. ]*", heard
    )[-1].strip()
