"""Conversations with a model that hears and speaks itself. The stages of the pipeline take over when it fails.

Turns stay ours: what the model hears are utterances that our voice activity detection has cut, and it answers when it
is asked to. So interruptions, keys, silence, machines and commands work as with any other agent.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Protocol

import structlog

from call_service.carriers.port import SAMPLE_RATE
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.fallback import BUDGETS, Switch
from call_service.voice.ports import (
    AgentProfile,
    BrainOutput,
    Collected,
    Conversation,
    EndCall,
    EngineError,
    Recognizer,
    Spoken,
    Turn,
    Working,
)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

PIPELINE = "pipeline"
# The words are for the transcript and for telling "uh-huh" from an interruption; the model does not wait for them.
TRANSCRIPTION = timedelta(milliseconds=1500)
SILENCES_BEFORE_END = 2
BYTES_PER_SECOND = 2 * SAMPLE_RATE

_FIRST_MESSAGE = "The call was just answered. Say exactly this, word for word, and nothing else: {}"
_ANSWERED = "The call was just answered. Greet the person and say why you call or offer your help."
_SILENT = "The person has said nothing for a while. Ask shortly whether they are still there."
_GIVE_UP = "The person still says nothing. Say that you cannot hear them, and say goodbye."


@dataclass(frozen=True, slots=True)
class Told:
    """Something that the model is told in words. `system`: how to go on; `assistant`: what was said in its name."""

    role: Literal["system", "user", "assistant"]
    text: str


class SpeechModel(Protocol):
    """A model at the end of one connection for one call, which holds the conversation so far."""

    @property
    def is_open(self) -> bool:
        """Can it be asked? Once it is False it stays so."""

    def tell(self, told: Told) -> None:
        """Add to the conversation, without asking for an answer."""

    async def transcribe(self, pcm: bytes) -> str:
        """Let it hear an utterance and say what it understood; what it has heard already is not sent again.

        Raises:
            EngineError: stage `s2s`.
        """

    def respond(self, heard: bytes | None = None, anchor: Turn | None = None) -> AsyncGenerator[BrainOutput]:
        """Its answer to the conversation so far, after it has `heard` an utterance. Closing the generator cancels it.

        `anchor` is the last turn of the conversation, which the uses of tools belong to.

        Raises:
            EngineError: stage `s2s`.
        """

    def abandon(self) -> None:
        """Close the connection; it is asked no more."""


class DirectRecognizer:
    """A `Recognizer` for the transcript: what the model has understood, and where it fails what `successor` has."""

    def __init__(self, model: SpeechModel, successor: Recognizer) -> None:
        self._model = model
        self._successor = successor

    @property
    def is_busy(self) -> bool:
        """The model is not asked on a mere guess: what it hears stays in its conversation."""
        return self._model.is_open or self._successor.is_busy

    async def recognize(self, pcm: bytes) -> str:
        """Raises EngineError: stage `stt`."""
        if self._model.is_open:
            try:
                async with asyncio.timeout(TRANSCRIPTION.total_seconds()):
                    return await self._model.transcribe(pcm)
            except (EngineError, TimeoutError) as error:
                log.warning("transcription_failed", error=repr(error))
        return await self._successor.recognize(pcm)


class DirectConversation:
    """A `Conversation` that answers to sound, until the model fails; then `pipeline` goes on for the rest of the call.

    `recognizer` understands for the pipeline what the failed model was to answer. `on_switch` hears of the change.
    """

    def __init__(
        self,
        model: tuple[str, SpeechModel],
        profile: AgentProfile,
        recognizer: Recognizer,
        pipeline: Conversation,
        on_switch: Callable[[Switch], None],
    ) -> None:
        self._name, self._model = model
        self._profile = profile
        self._recognizer = recognizer
        self._pipeline = pipeline
        self._on_switch = on_switch
        self._has_switched = False
        self._known: set[Turn] = set()
        self._last: Turn | None = None
        self._said = ""

    @property
    def is_hearing(self) -> bool:
        """Does it answer to sound, with `answer`?"""
        return self._model.is_open

    def opening(self) -> AsyncGenerator[BrainOutput]:
        """The agent's first message in the model's voice, where there is one. Raises EngineError."""
        first = self._profile.first_message
        asked = Told("system", _FIRST_MESSAGE.format(first) if first else _ANSWERED)
        return self._outputs(lambda: self._respond(asked), self._pipeline.opening)

    def answer(self, pcm: bytes, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """The answer to an utterance, whose audio is `pcm`. Raises EngineError."""

        async def understood() -> AsyncGenerator[BrainOutput]:
            heard = await self._recognizer.recognize(pcm)
            async for output in self._pipeline.reply(heard, history):
                yield output

        self._catch_up(history)
        return self._outputs(lambda: self._model.respond(pcm, self._last), understood)

    def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """The answer to words, such as keys. Raises EngineError."""
        self._catch_up(history)
        return self._outputs(lambda: self._respond(Told("user", heard)), lambda: self._pipeline.reply(heard, history))

    def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """Ask once whether anybody is there, then say goodbye. Raises EngineError."""
        is_last = count >= SILENCES_BEFORE_END
        asked = Told("system", _GIVE_UP if is_last else _SILENT)
        return self._outputs(lambda: self._respond(asked, ends=is_last), lambda: self._pipeline.silence(count))

    async def _respond(self, told: Told, *, ends: bool = False) -> AsyncGenerator[BrainOutput]:
        self._model.tell(told)
        async with aclosing(self._model.respond(anchor=self._last)) as outputs:
            async for output in outputs:
                yield output
        if ends:
            yield EndCall()

    async def _outputs(
        self,
        ask: Callable[[], AsyncGenerator[BrainOutput]],
        otherwise: Callable[[], AsyncIterator[BrainOutput]],
    ) -> AsyncGenerator[BrainOutput]:
        self._said += " "
        try:
            async with aclosing(in_time(ask(), BUDGETS["s2s"])) as outputs:
                async for output in outputs:
                    if isinstance(output, Spoken):
                        self._said += output.text
                    yield output
        except (EngineError, TimeoutError) as error:
            self._switch(error)
        else:
            return
        successors = otherwise()
        try:
            async for output in successors:
                yield output
        finally:
            if isinstance(successors, AsyncGenerator):
                await successors.aclose()

    def _switch(self, error: Exception) -> None:
        self._model.abandon()
        if self._has_switched:
            return
        self._has_switched = True
        why: Literal["late", "failed"] = "late" if isinstance(error, TimeoutError) else "failed"
        self._on_switch(Switch("s2s", self._name, PIPELINE, why, str(error) or type(error).__name__))

    def _catch_up(self, history: Sequence[Turn]) -> None:
        """Tell the model what was said in its name without it: fillers, announcements, what the API had said."""
        self._last = history[-1] if history else None
        own = " ".join(self._said.split())
        for turn in history:
            if turn.role == "agent" and turn not in self._known:
                others = [sentence for sentence in split_sentences(turn.text) if sentence not in own]
                if others:
                    self._model.tell(Told("assistant", " ".join(others)))
            self._known.add(turn)


async def in_time(outputs: AsyncGenerator[BrainOutput], patience: timedelta) -> AsyncGenerator[BrainOutput]:
    """`outputs`, as long as the callee hears no more than `patience` of silence in all between them.

    Sound that came buys as much time as it takes to play. Time does not count while nobody asked for more, or while a
    tool was at work.

    Raises:
        TimeoutError: the next was late.
        EngineError: there was nothing to hear, and nothing to do.
    """
    loop = asyncio.get_running_loop()
    deadline, is_useful = loop.time() + patience.total_seconds(), False
    async with aclosing(outputs):
        while True:
            async with asyncio.timeout_at(deadline):
                output = await anext(outputs, None)
            if output is None:
                break
            given_at = loop.time()
            yield output
            deadline += loop.time() - given_at
            if isinstance(output, Spoken):
                is_useful = is_useful or bool(output.pcm)
                deadline += len(output.pcm) / BYTES_PER_SECOND
            elif isinstance(output, Working):
                deadline = max(deadline, loop.time() + patience.total_seconds())
            elif not isinstance(output, Collected):
                is_useful = True
    if not is_useful:
        raise EngineError("s2s", "an empty answer")
