"""What the built-in brain does beside talking: menus, transfers, documents; as far as the agent may."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from call_service.llm.messages import ToolCall
from call_service.tools.exchange import Exchange
from call_service.tools.tool import Found
from call_service.tools.toolbox import Toolbox
from call_service.voice.brain import intents
from call_service.voice.brain.intents import Intent
from call_service.voice.brain.knowledge import Fact, Knowledge
from call_service.voice.brain.menu import Navigator, choices_in
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.detection import puts_on_hold, sounds_like_menu, sounds_like_person
from call_service.voice.ports import BrainOutput, Say, Turn
from shared.ids import new_id

_CONNECTING = Say("Of course, I will connect you now.")
# A passage this near answers, even where it shares no word with the question (paraphrases: 0.5 to 0.8).
_ANSWERS = 0.5
_SENTENCES = 2


class Talking(Protocol):
    """The conversation that is acted in."""

    def opening(self) -> AsyncGenerator[BrainOutput]:
        """What the agent says first."""

    def reply(self, heard: str, history: Sequence[Turn], found: Sequence[str] = ()) -> AsyncGenerator[BrainOutput]:
        """Answer the callee; `found` are sentences that answer what the instructions do not."""

    def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """What to say into the silence."""

    async def knows(self, question: str) -> bool:
        """Do the instructions answer it?"""


class Acting:
    """A `Conversation` of the built-in brain with tools."""

    def __init__(self, talking: Talking, tools: Toolbox) -> None:
        self._talking = talking
        self._tools = tools
        self._navigator = Navigator(tools.goal)
        self._is_in_menu = False

    def opening(self) -> AsyncGenerator[BrainOutput]:
        """What the agent says first."""
        return self._talking.opening()

    def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """What to say into the silence."""
        return self._talking.silence(count)

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """Press a key, connect, or answer, with what the documents say where the instructions say nothing."""
        if self._speaks_a_machine(heard):
            outputs = self._listen_to_menu(heard, history)
        elif self._tools.has("wait") and puts_on_hold(heard):
            outputs = self._use("wait", {}, history).outputs(has_spoken=True)
        elif self._is_in_menu:  # somebody has picked up
            self._is_in_menu = False
            outputs = self._talking.opening()
        elif self._tools.has("transfer_call") and intents.intent_of(heard) is Intent.WANTS_HUMAN:
            outputs = self._connect(history)
        else:
            outputs = self._answer(heard, history)
        async with aclosing(outputs):
            async for output in outputs:
                yield output

    def _speaks_a_machine(self, heard: str) -> bool:
        if not self._tools.has("send_dtmf"):
            return False
        is_menu = bool(choices_in(heard)) or sounds_like_menu(heard)
        return is_menu or (self._is_in_menu and not sounds_like_person(heard))

    def _listen_to_menu(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        self._is_in_menu = True
        keys = self._navigator.key_for(heard)
        exchange = self._use("send_dtmf", {"keys": keys}, history) if keys else self._use("wait", {}, history)
        return exchange.outputs(has_spoken=True)

    async def _connect(self, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        yield _CONNECTING
        exchange = self._use("transfer_call", {}, history)
        async for output in exchange.outputs(has_spoken=True):
            yield output

    async def _answer(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        found: Sequence[str] = ()
        if self._tools.has("look_up") and intents.is_question(heard) and not await self._talking.knows(heard):
            exchange = self._use("look_up", {"question": heard[:500]}, history)
            async for output in exchange.outputs(has_spoken=False):
                yield output
            passages = exchange.uses[0].result
            found = await asyncio.to_thread(_sentences, heard, passages.found) if passages else ()
        async with aclosing(self._talking.reply(heard, history, found)) as outputs:
            async for output in outputs:
                yield output

    def _use(self, name: str, arguments: Mapping[str, str], history: Sequence[Turn]) -> Exchange:
        return self._tools.use([ToolCall(new_id(), name, arguments)], history[-1] if history else None)


def _sentences(question: str, passages: Sequence[Found]) -> list[str]:
    """What to say: the sentences that are about the question, else the beginning of a passage that surely is."""
    sentences = [sentence for passage in passages for sentence in split_sentences(passage.text)]
    if answers := Knowledge([Fact(sentence) for sentence in sentences]).answer(question):
        return answers[:_SENTENCES]
    if passages and passages[0].score >= _ANSWERS:
        return split_sentences(passages[0].text)[:_SENTENCES]
    return []
