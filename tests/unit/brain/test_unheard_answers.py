"""The built-in brain forgets answers that nobody heard, and finds words however they are hyphenated."""

import pytest

from call_service.voice.brain import BuiltinBrain
from call_service.voice.brain.knowledge import Fact, Knowledge
from call_service.voice.ports import AgentProfile, Collected, Conversation, Say, Turn

DESK = AgentProfile(
    "Maya", "You are Maya, the front desk of Bright Dental. Callers make appointments: ask for their name and the day."
)
STORY = "Hello, yes, my neighbour told me about you, and she was very happy with everything."
WISH = "So I would like to make an appointment."


async def said(conversation: Conversation, heard: str, *answered: str) -> list[str]:
    history = tuple(Turn("user", text, place, place + 1) for place, text in enumerate(answered))
    outputs = [output async for output in conversation.reply(heard, history)]
    return [output.text for output in outputs if isinstance(output, Say)]


@pytest.fixture
async def desk() -> Conversation:
    conversation = BuiltinBrain().converse(DESK)
    assert [output async for output in conversation.opening()]
    return conversation


async def test_who_goes_on_talking_is_answered_as_if_it_were_one_sentence(desk: Conversation) -> None:
    """The yes of the first half once accepted an offer that the callee had not heard."""
    assert "Shall I pass that on as a message?" in await said(desk, STORY)
    assert (await said(desk, f"{STORY} {WISH}"))[-1] == "May I have your name, please?"


async def test_an_answer_that_was_heard_counts(desk: Conversation) -> None:
    await said(desk, STORY)
    assert "I have noted it." in await said(desk, "Yes, please.", STORY)


async def test_words_that_only_begin_alike_are_a_new_turn(desk: Conversation) -> None:
    await said(desk, WISH)
    outputs = [output async for output in desk.reply("Anna", (Turn("user", WISH, 0, 1),))]
    assert Collected("name", "Anna") in outputs
    corrected = [
        output async for output in desk.reply("Anna Miller", (Turn("user", WISH, 0, 1), Turn("user", "Anna", 2, 3)))
    ]
    assert Collected("name", "Anna") not in corrected


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What does a check-up cost?", "A check-up costs 80 dollars."),
        ("What does a check-up cost?", "A checkup costs 80 dollars."),
        ("what did the checkup cost", "A check-up costs 80 dollars."),
        ("The check up, how much?", "A check-up costs 80 dollars."),
    ],
)
def test_compounds_are_found_however_they_are_written(question: str, fact: str) -> None:
    assert Knowledge([Fact(fact), Fact("We are open from nine to five.")]).answer(question) == [fact]
