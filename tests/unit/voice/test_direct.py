"""Conversations with a model that hears and speaks, in virtual time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any

import pytest

from call_service.voice.direct import DirectConversation, DirectRecognizer, Told, in_time
from call_service.voice.engines.null import NullRecognizer
from call_service.voice.fallback import Switch
from call_service.voice.ports import AgentProfile, BrainOutput, EndCall, EngineError, Say, Spoken, Turn
from tests.unit.voice.conftest import VirtualLoop

SECOND = bytes(16_000)
PROFILE = AgentProfile(name="Maya", instructions="Be kind.", first_message="Hello, I am Maya.", language="en-GB")


def in_virtual_time(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test())

    return run


def sound(seconds: float, text: str = "") -> Spoken:
    return Spoken("item", b"\1" * int(16_000 * seconds), text, lambda _ms: None)


class Model:
    """Answers with `parts`; a number is a pause."""

    def __init__(self, *parts: BrainOutput | float | Exception) -> None:
        self.parts = parts
        self.told: list[Told] = []
        self.heard: list[bytes | None] = []
        self.anchors: list[Turn | None] = []
        self.is_open = True
        self.transcript: str | Exception = "Vendor's words."

    def tell(self, told: Told) -> None:
        self.told.append(told)

    async def transcribe(self, pcm: bytes) -> str:
        if isinstance(self.transcript, Exception):
            raise self.transcript
        return self.transcript

    async def respond(self, heard: bytes | None = None, anchor: Turn | None = None) -> AsyncGenerator[BrainOutput]:
        self.heard.append(heard)
        self.anchors.append(anchor)
        for part in self.parts:
            if isinstance(part, Exception):
                raise part
            if isinstance(part, float):
                await asyncio.sleep(part)
            else:
                yield part

    def abandon(self) -> None:
        self.is_open = False


class Pipeline:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def opening(self) -> AsyncGenerator[BrainOutput]:
        yield Say("Pipeline's hello.")

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        self.asked.append(heard)
        yield Say("Pipeline's answer.")

    async def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        yield Say("Pipeline's question.")


def conversation(model: Model) -> tuple[DirectConversation, Pipeline, list[Switch]]:
    pipeline, switches = Pipeline(), list[Switch]()
    recognizer = NullRecognizer(["Local words."])
    return DirectConversation(("openai", model), PROFILE, recognizer, pipeline, switches.append), pipeline, switches


async def outputs(of: AsyncGenerator[BrainOutput], *, pause: float = 0) -> list[BrainOutput]:
    found = []
    async for output in of:
        found.append(output)
        await asyncio.sleep(pause)
    return found


@in_virtual_time
async def test_sound_buys_the_time_that_it_plays() -> None:
    model = Model(sound(0.3), 0.25, sound(0.3), 0.25, sound(0.3), 0.25, sound(0.1))
    assert len(await outputs(in_time(model.respond(), timedelta(milliseconds=100)))) == 4


@in_virtual_time
async def test_little_sound_in_much_time_is_late() -> None:
    model = Model(sound(0.02), 0.05, sound(0.02), 0.05, sound(0.02), 0.05, sound(0.02), 5.0)
    with pytest.raises(TimeoutError):
        await outputs(in_time(model.respond(), timedelta(milliseconds=80)))
    assert asyncio.get_running_loop().time() == pytest.approx(1000 + 0.08 + 3 * 0.02)


@in_virtual_time
async def test_time_in_which_nobody_asks_for_more_does_not_count() -> None:
    model = Model(*[sound(0.001)] * 4)
    assert len(await outputs(in_time(model.respond(), timedelta(milliseconds=60)), pause=0.1)) == 4


@in_virtual_time
async def test_an_answer_without_sound_is_a_failure() -> None:
    with pytest.raises(EngineError, match="an empty answer"):
        await outputs(in_time(Model(sound(0, "words")).respond(), timedelta(seconds=1)))


@in_virtual_time
async def test_what_failed_is_answered_by_the_pipeline_once_and_for_the_rest_of_the_call() -> None:
    model = Model(sound(0.1, "Well, "), EngineError("s2s", "gone"))
    talk, pipeline, switches = conversation(model)
    assert talk.is_hearing
    found = await outputs(talk.answer(SECOND, ()))
    assert [type(one) for one in found] == [Spoken, Say]
    assert (pipeline.asked, model.heard) == (["Local words."], [SECOND])
    assert [(one.stage, one.engine, one.successor, one.why) for one in switches] == [
        ("s2s", "openai", "pipeline", "failed")
    ]
    assert not talk.is_hearing
    model.parts = (EngineError("s2s", "still gone"),)
    assert await outputs(talk.reply("And now?", ())) == [Say("Pipeline's answer.")]
    assert await outputs(talk.silence(1)) == [Say("Pipeline's question.")]
    assert len(switches) == 1


@in_virtual_time
async def test_the_first_message_is_asked_for_word_by_word_and_silence_ends_the_call() -> None:
    model = Model(sound(0.1, "Hello"))
    talk, _, _ = conversation(model)
    await outputs(talk.opening())
    assert (model.told[0].role, model.told[0].text.endswith("nothing else: Hello, I am Maya.")) == ("system", True)
    assert not any(isinstance(one, EndCall) for one in await outputs(talk.silence(1)))
    assert (await outputs(talk.silence(2)))[-1] == EndCall()
    assert "say goodbye" in model.told[-1].text


@in_virtual_time
async def test_it_is_told_once_what_was_said_in_its_name() -> None:
    model = Model(sound(0.1, "Hello, I  am Maya."))
    talk, _, _ = conversation(model)
    await outputs(talk.opening())
    greeting, filler = Turn("agent", "Hello, I am", 0, 900, interrupted=True), Turn("agent", "One moment.", 2000, 2500)
    asked = Turn("user", "Who is there?", 1000, 1900)
    for _ in range(2):
        await outputs(talk.answer(SECOND, (greeting, asked, filler)))
    assert [told for told in model.told if told.role == "assistant"] == [Told("assistant", "One moment.")]
    assert model.anchors == [None, filler, filler]


@in_virtual_time
async def test_it_is_not_told_again_what_it_has_said_between_the_words_of_others() -> None:
    model = Model(sound(0.1, "Let me see."), Say("One second."), sound(0.1, "It is in"), sound(0.1, " Rome."))
    talk, _, _ = conversation(model)
    await outputs(talk.answer(SECOND, ()))
    said = Turn("agent", "Let me see. One second. I am still here, just a moment. It is in", 0, 900, interrupted=True)
    await outputs(talk.answer(SECOND, (said,)))
    assert model.told == [Told("assistant", "One second. I am still here, just a moment.")]


@in_virtual_time
async def test_the_transcript_is_the_vendors_until_it_fails() -> None:
    model = Model()
    ear = DirectRecognizer(model, NullRecognizer(["Local words."]))
    assert ear.is_busy  # no guesses: what the model hears stays in its conversation
    assert await ear.recognize(SECOND) == "Vendor's words."
    model.transcript = EngineError("s2s", "no transcript")
    assert await ear.recognize(SECOND) == "Local words."
    model.is_open = False
    assert not ear.is_busy
    assert await ear.recognize(SECOND) == "Local words."
