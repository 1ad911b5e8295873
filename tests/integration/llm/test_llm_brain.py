"""The brain on a language model, against a real loopback endpoint."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from pydantic import SecretStr

from call_service.llm import LlmClient, LlmSettings
from call_service.voice.brain import build_brain
from call_service.voice.ports import (
    AgentProfile,
    BrainOutput,
    Collected,
    Conversation,
    EndCall,
    EngineError,
    Say,
    Turn,
    Working,
)
from tests.support.fake_chat_endpoint import (
    STOP,
    Behaviour,
    FakeEndpoint,
    call_chunk,
    fails,
    hangs,
    running,
    says,
    streams,
    text_chunk,
)

PROFILE = AgentProfile("Maya", "You are Maya of Bright Dental.", temperature=0.2)
COLLECTS = call_chunk(0, name="collect", arguments='{"field":"Full Name","value":"Anna"}')
ENDS = call_chunk(1, name="end_call")


@asynccontextmanager
async def conversation_with(
    *behaviours: Behaviour, profile: AgentProfile = PROFILE
) -> AsyncIterator[tuple[Conversation, FakeEndpoint]]:
    async with running(*behaviours) as endpoint:
        patience = timedelta(seconds=0.5 if hangs in behaviours else 20)
        settings = LlmSettings(endpoint.base_url, "m", SecretStr("k"), first_token_timeout=patience, attempts=2)
        brain = build_brain(LlmClient(settings))
        try:
            yield brain.converse(profile), endpoint
        finally:
            await brain.close()


async def reply(conversation: Conversation, heard: str = "Hello", *history: Turn) -> list[BrainOutput]:
    return [output async for output in conversation.reply(heard, history)]


async def test_sentences_come_one_by_one_with_a_guess_of_the_answer() -> None:
    async with conversation_with(says("Hi, this is Dr. ", "Lee. It costs $4", ".50. **Is", " that ok?")) as (talk, _):
        assert await reply(talk) == [
            Say("Hi, this is Dr. Lee."),
            Say("It costs $4.50."),
            Say("Is that ok?", "yes_no"),
        ]


async def test_tools_note_values_and_end_the_call_after_the_words() -> None:
    async with conversation_with(streams(text_chunk("Goodbye."), COLLECTS, ENDS, STOP)) as (talk, endpoint):
        assert await reply(talk) == [Collected("full_name", "Anna"), Say("Goodbye."), EndCall()]
    assert [tool["function"]["name"] for tool in endpoint.bodies[0]["tools"]] == ["collect", "end_call"]
    assert endpoint.bodies[0]["temperature"] == 0.2


async def test_a_model_that_only_calls_tools_is_asked_for_words() -> None:
    async with conversation_with(streams(COLLECTS, STOP), says("Thank you.")) as (talk, endpoint):
        assert await reply(talk) == [Collected("full_name", "Anna"), Working(), Say("Thank you.")]
    assert [message["role"] for message in endpoint.bodies[1]["messages"]] == ["system", "user", "assistant", "tool"]


async def test_the_same_value_is_noted_once() -> None:
    async with conversation_with(streams(text_chunk("Ok."), COLLECTS, STOP)) as (talk, _):
        assert Collected("full_name", "Anna") in await reply(talk)
        assert await reply(talk) == [Say("Ok.")]


async def test_an_endpoint_without_tools_is_told_about_markers() -> None:
    behaviours = (fails(400), says("Bye", ". [[collect na", "me=Bob]] [[end", "_call]]"), says("Again."))
    async with conversation_with(*behaviours) as (talk, endpoint):
        assert await reply(talk) == [Say("Bye."), Collected("name", "Bob"), EndCall()]
        assert await reply(talk) == [Say("Again.")]
    assert ["tools" in body for body in endpoint.bodies] == [True, False, False]
    assert "[[end_call]]" in endpoint.bodies[1]["messages"][0]["content"]
    assert "[[end_call]]" not in endpoint.bodies[0]["messages"][0]["content"]


async def test_the_model_sees_what_was_really_heard() -> None:
    history = (Turn("agent", "We are open", 0, 900, interrupted=True), Turn("user", "On Sunday?", 900, 1500))
    async with conversation_with(says("No.")) as (talk, endpoint):
        await reply(talk, "Well?", *history)
    system, *rest = endpoint.bodies[0]["messages"]
    assert "You are Maya of Bright Dental." in system["content"]
    assert rest == [
        {"role": "assistant", "content": "We are open (they interrupted you here)"},
        {"role": "user", "content": "On Sunday?"},
        {"role": "user", "content": "Well?"},
    ]


async def test_the_first_message_needs_no_model() -> None:
    profile = AgentProfile("Maya", "", first_message="Hello, Dr. Lee's office. How can I help?")
    async with conversation_with(says("unused"), profile=profile) as (talk, endpoint):
        opening = [output async for output in talk.opening()]
    assert opening == [Say("Hello, Dr. Lee's office."), Say("How can I help?")]
    assert not endpoint.bodies


async def test_without_a_first_message_the_model_greets() -> None:
    async with conversation_with(says("Hello.")) as (talk, _):
        assert [output async for output in talk.opening()] == [Say("Hello.")]


async def test_the_second_silence_ends_the_call_whatever_the_model_does() -> None:
    async with conversation_with(says("Are you there?")) as (talk, _):
        assert EndCall() not in [output async for output in talk.silence(1)]
        assert [output async for output in talk.silence(2)][-1] == EndCall()


@pytest.mark.parametrize("behaviour", [fails(401), fails(500), hangs, streams(text_chunk("Half a sen"), cut=True)])
async def test_failures_are_engine_errors_of_the_llm_stage(behaviour: Behaviour) -> None:
    async with conversation_with(behaviour) as (talk, _):
        with pytest.raises(EngineError) as failure:
            await reply(talk)
    assert failure.value.stage == "llm"
