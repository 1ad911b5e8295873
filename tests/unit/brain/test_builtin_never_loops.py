"""Whatever a callee says, a call raises nothing and comes to its end within the bound."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.voice.brain.brief import brief_of
from call_service.voice.brain.dialogue import MAX_TURNS, Dialogue
from call_service.voice.brain.knowledge import Knowledge
from call_service.voice.ports import AgentProfile, EndCall, Say

TEXTS = (
    "Be nice",
    "",
    "You are Maya, the receptionist of Bright Dental. Ask for their name, day, time and phone number.",
    "You are calling to remind the customer that their bill is due. Ask when they can pay. If they can't, ask why.",
    "Ask what they would like to order, pickup or delivery, their e-mail, how many people come and if it is urgent.",
)  # fmt: skip
LINES = st.one_of(
    st.sampled_from(
        [
            "yes",
            "no",
            "hello",
            "what?",
            "say that again",
            "hold on",
            "who is this",
            "are you a robot",
            "my name is Bob",
            "no, Friday",
            "at five",
            "thank you\n        ",
            "five five five zero one zero zero",
            "I have a question",
            "I want an appointment",
            "can I speak to a person",
            "I don't know\n        ",
            "how are you",
            "do you have parking",
            "not Thursday but Friday",
            "I would like to order a pizza",
            "a b c",
            "maybe",
            "?",
        ]
    ),
    st.text(max_size=80),
)


def dialogue(instructions: str) -> Dialogue:
    brief = brief_of(AgentProfile("Demo agent", instructions))
    return Dialogue(brief, Knowledge(brief.facts))


def turns_until_end(talk: Dialogue, lines: list[str]) -> int:
    """Say `lines` round and round until the agent hangs up."""
    assert any(isinstance(output, Say) for output in talk.open())
    for turn in range(1, MAX_TURNS + 2):
        outputs = talk.hear(lines[turn % len(lines)])
        assert any(isinstance(output, Say) for output in outputs), "dead air"
        if EndCall() in outputs:
            return turn
    return MAX_TURNS + 2


@settings(deadline=None)  # the machine may be busy
@given(st.sampled_from(TEXTS), st.lists(LINES, min_size=1, max_size=12))
def test_any_callee_is_answered_and_the_call_ends(instructions: str, lines: list[str]) -> None:
    assert turns_until_end(dialogue(instructions), lines) <= MAX_TURNS


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=400))
def test_any_instructions_can_be_played(instructions: str) -> None:
    assert turns_until_end(dialogue(instructions), ["hello", "what do you sell?", "Anna", "no", "bye"]) <= MAX_TURNS


@settings(deadline=None)  # the machine may be busy
@given(
    st.lists(
        st.sampled_from(["# A:", "- b: c", "Q: d?", "A: e.", "| f | g |", "<h>", "i.", "Ask j?", "", "If k, say l"]),
        max_size=12,
    )
)
def test_any_layout_can_be_read(lines: list[str]) -> None:
    assert turns_until_end(dialogue("\n".join(lines)), ["hello", "c", "bye"]) <= MAX_TURNS


@pytest.mark.parametrize(
    "line", ["bla bla bla bla bla", "hm", "hello", "say that again", "are you a robot?", "hold on", "?"]
)
def test_one_who_never_answers_is_left_after_a_few_turns(line: str) -> None:
    assert turns_until_end(dialogue(TEXTS[2]), [line]) <= 15


def test_after_the_end_nothing_starts_again() -> None:
    talk = dialogue(TEXTS[2])
    talk.open()
    talk.hear("goodbye")
    assert talk.hear("my name is Bob") == [Say("Goodbye."), EndCall()]
