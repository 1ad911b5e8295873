"""Sounds that stop the agent and ask for nothing: it goes on where it was."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from unittest.mock import Mock

import pytest

from call_service.voice.backchannels import is_backchannel, is_consent
from call_service.voice.engines.null import MS_PER_WORD, NullSynthesizer
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import SessionOptions
from call_service.voice.ports import BrainOutput, EndCall, EngineError, Say
from call_service.voice.speaking import REWIND_MS, AgentTurn, TurnHooks, Voice
from call_service.voice.stock import Stock
from shared.testing.waiting import eventually

LONG = Say("one two three four five six seven eight nine ten")
GOODBYE = (Say("Thank you and goodbye."), EndCall())


@pytest.fixture
def told_over_the_agent(place_call: Callable[..., Any]) -> Callable[..., Any]:
    """A call whose agent says `said` while the callee says something short."""

    def place(heard: str | Exception, said: Sequence[Say] = (LONG,)) -> Any:
        async def callee(call: Any) -> None:
            await call.until_agent_spoke(1)
            await call.hum(500)
            await call.until(lambda: call.notes.starts.count("agent") == 2)
            await call.wait(1.0)
            await call.hum(300)
            assert call.leg.queued_ms == 0, "the audio stopped at once"
            await call.until_agent_spoke(2)
            await call.wait(2)
            call.leg.end()

        return place_call(callee, hears=["Tell me.", heard], replies=[said, GOODBYE])

    return place


@pytest.mark.parametrize("heard", ["", "Uh-huh.", "Okay."])
def test_noise_and_backchannels_are_talked_through(told_over_the_agent: Callable[..., Any], heard: str) -> None:
    call = told_over_the_agent(heard)
    agent = next(turn for turn in call.result.turns if turn.text == LONG.text)
    assert not agent.interrupted
    assert call.conversation.heard == ["Tell me."]
    assert [text for role, text in call.said if role == "user"] == [text for text in ("Tell me.", heard) if text]
    audible = sum(any(call.played[at : at + 320]) for at in range(0, len(call.played), 320)) * 20
    opening_ms, sentence_ms = 4 * MS_PER_WORD, 10 * MS_PER_WORD
    assert audible == pytest.approx(opening_ms + sentence_ms + REWIND_MS, abs=60), "all of it was heard"


@pytest.mark.parametrize("heard", ["Stop.", "No, Tuesday.", EngineError("stt", "x")])
def test_words_interrupt(told_over_the_agent: Callable[..., Any], heard: str | Exception) -> None:
    call = told_over_the_agent(heard)
    assert call.result.turns[2].interrupted
    assert call.result.turns[2].text == "one two three"


def test_a_yes_to_a_question_that_is_still_spoken_is_an_answer(told_over_the_agent: Callable[..., Any]) -> None:
    call = told_over_the_agent("Yes.", [Say("On Tuesday at ten in the morning then or not", "yes_no")])
    assert call.conversation.heard == ["Tell me.", "Yes."]


def test_an_uh_huh_before_the_question_is_no_answer_to_it(told_over_the_agent: Callable[..., Any]) -> None:
    call = told_over_the_agent("Uh-huh.", [LONG, Say("Is that right?", "yes_no")])
    assert call.conversation.heard == ["Tell me."]
    assert f"{LONG.text} Is that right?" in [turn.text for turn in call.result.turns if not turn.interrupted]


@pytest.mark.parametrize("text", ["", "…", "Mm-hmm.", "uh huh", "OK, right.", "I see.", "Yeah, sure.", "Aha."])
def test_backchannels(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text", ["42", "No.", "Okay, but when?", "Wait.", "Right now", "yes yes yes yes", "Yes, please."]
)
def test_what_is_none(text: str) -> None:
    assert not is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mm-hmm.",
        "Thank you.",
        "Okay, great, thanks a lot!",
        "Yes, please.",
        "Please do.",
        "That\u2019s great, thanks.",
    ],
)
def test_what_lets_a_promise_be_kept(text: str) -> None:
    assert is_consent(text)


@pytest.mark.parametrize(
    "text", ["No, thanks.", "Thank you, but no.", "Please wait.", "Yes, but when?", "Thanks, bye."]
)
def test_what_does_not(text: str) -> None:
    assert not is_consent(text)


async def test_a_turn_that_was_interrupted_since_does_not_go_on() -> None:
    """A key, a hold or the goodbye may come while it is recognised what stopped the turn."""
    leg, options, hooks = MemoryLeg(), SessionOptions(), Mock(spec=TurnHooks)
    stock = Stock(NullSynthesizer(), options.voice_id, options.phrases)
    turn = AgentTurn(Voice(leg, stock, options, lambda: 0), hooks)

    async def outputs() -> AsyncIterator[BrainOutput]:
        yield LONG
        await asyncio.Event().wait()

    speaking = asyncio.create_task(turn.run(outputs()))
    await eventually(lambda: leg.queued_ms > 0)
    turn.hold()
    turn.interrupt()
    turn.resume()
    assert leg.queued_ms == 0
    await speaking
