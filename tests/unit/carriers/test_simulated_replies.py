"""Which answer callee 0100 gives to what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.carriers.scripts import Conversation
from call_service.carriers.simulated.book import ScriptBook
from call_service.carriers.simulated.replies import Dialogue, sentences

_SCRIPT = ScriptBook.load().find("+12025550100")
assert _SCRIPT
assert _SCRIPT.conversation
CALLEE: Conversation = _SCRIPT.conversation

NAME = "My name is Anna Miller."
REASON = "Hi, I would like to make an appointment, please."
DAY = "Thursday, please."
TIME = "At three in the afternoon."
DAY_AND_TIME = "Thursday at three in the afternoon."
NUMBER = "Five five five, zero one zero zero."
PEOPLE = "For two people."
RIGHT = "Yes, that is right."
NOTHING_ELSE = "No, that is all. Thank you, goodbye."
OTHERWISE = "Yes, please."


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ("Hello, this is Maya from Bright Dental, how can I help you today?", REASON),
        ("Thank you for calling Bright Dental. My name is Maya. What can I do for you?", REASON),
        ("Good morning, Luigi's.", REASON),
        ("Hello, this is Maya.", REASON),
        ("How may I assist you?", REASON),
        ("What is the reason for your call?", REASON),
        ("May I have your name, please?", NAME),
        ("Can you tell me your full name?", NAME),
        ("Great, and who am I speaking with?", NAME),
        ("Could I get a name for the booking?", NAME),
        ("What's the name?", NAME),
        ("Which day was it again? First, what's your name?", NAME),
        ("What name should I put the appointment under? I'm happy to help.", NAME),
        ("Which day would you like to come?", DAY),
        ("Thank you, Anna. What date works for you?", DAY),
        ("What time would you like?", TIME),
        ("What time of day suits you?", DAY_AND_TIME),
        ("Do you prefer the morning or the afternoon?", TIME),
        ("At what time?", TIME),
        ("What day and time would you prefer?", DAY_AND_TIME),
        ("When would you like to come in?", DAY_AND_TIME),
        ("So when?", DAY_AND_TIME),
        ("What's the best number to reach you?", NUMBER),
        ("Can I have your phone number?", NUMBER),
        ("For how many people?", PEOPLE),
        ("And how many guests will there be?", PEOPLE),
        ("Your name is Anna Miller. Is that right?", RIGHT),
        ("So that is Thursday at three for Anna Miller, is that correct?", RIGHT),
        ("I have Thursday at 3 pm. Does that sound right?", RIGHT),
        ("Thursday at three, correct?", RIGHT),
        ("Shall I book that?", RIGHT),
        ("Is there anything else I can help you with?", NOTHING_ELSE),
        ("Do you have any other questions?", NOTHING_ELSE),
        ("Would you like a reminder by text message?", OTHERWISE),
        ("One moment.", OTHERWISE),
        ("What is your e-mail address?", "Anna at example dot com."),
        ("What may I pass on?", "Please say that Anna Miller called."),
        ("Are you a new patient?", "Yes, that is true."),
        ("And what would you like to order?", "I am not sure, sorry."),
        ("All set. Goodbye!", None),
        ("Thank you, Anna, good bye.", None),
        ("You're welcome. Have a great day!", None),
    ],
)
def test_answers_the_agents_question(heard: str, said: str | None) -> None:
    assert Dialogue(CALLEE).answer(heard).say == said


def test_says_the_last_thing_again_when_asked_to() -> None:
    dialogue = Dialogue(CALLEE, "Hello?")
    assert dialogue.answer("Sorry, I didn't catch that.").say == "Hello?"
    dialogue.answer("What is your name?")
    assert dialogue.answer("Could you repeat that, please?").say == NAME


def test_asks_again_when_it_understood_nothing() -> None:
    assert Dialogue(CALLEE).answer("").say == "Sorry, could you say that again?"


def test_gives_no_answer_more_than_twice() -> None:
    dialogue = Dialogue(CALLEE)
    said = [dialogue.answer("Your name, please.").say for _ in range(3)]
    assert said == [NAME, NAME, OTHERWISE]


@given(st.lists(st.one_of(st.none(), st.text(max_size=40), st.just("How can I help you?")), min_size=14, max_size=14))
def test_always_comes_to_an_end(heard: list[str | None]) -> None:
    dialogue = Dialogue(CALLEE)
    assert any(dialogue.answer(text).hang_up for text in heard)


def test_sentences_keep_their_punctuation() -> None:
    assert sentences(" Hi, you. What now?  Fine! ") == ["Hi, you.", "What now?", "Fine!"]
    assert sentences("") == []
