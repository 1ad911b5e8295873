"""The brain for when there is no language model: deterministic, and honest about what it does not know.

It reads the agent's instructions once (`brief`), answers from them (`knowledge`) and converses (`dialogue`).
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from call_service.tools.toolbox import Toolbox
from call_service.voice.brain.acting import Acting
from call_service.voice.brain.brief import brief_of
from call_service.voice.brain.dialogue import Dialogue
from call_service.voice.brain.knowledge import Knowledge
from call_service.voice.ports import AgentProfile, BrainOutput, Conversation, Turn


@dataclass(frozen=True, slots=True)
class _Reply:
    """To what, after how many turns that were answered, and the dialogue `before` it."""

    heard: str
    answered: int
    before: Dialogue


class BuiltinBrain:
    """Opens conversations; needs no connection and keeps no state between calls."""

    def converse(self, profile: AgentProfile, tools: Toolbox | None = None) -> Conversation:
        """Start the conversation of one call."""
        conversation = BuiltinConversation(profile)
        return Acting(conversation, tools) if tools else conversation

    async def close(self) -> None:
        """There is nothing to free."""


class BuiltinConversation:
    """One call. An answer takes about a millisecond; long instructions take a hundred, so a thread reads them."""

    def __init__(self, profile: AgentProfile) -> None:
        self._profile = profile
        self._dialogue: Dialogue | None = None
        self._last: _Reply | None = None

    async def _begun(self) -> Dialogue:
        if self._dialogue is None:
            self._dialogue = await asyncio.to_thread(_dialogue_of, self._profile)
        return self._dialogue

    async def opening(self) -> AsyncGenerator[BrainOutput]:
        """The greeting, and the purpose of the call where the instructions name one; whoever is greeted starts anew."""
        self._dialogue = self._last = None
        for output in (await self._begun()).open():
            yield output

    async def knows(self, question: str) -> bool:
        """Do the instructions answer it?"""
        return (await self._begun()).knows(question)

    async def reply(
        self, heard: str, history: Sequence[Turn], found: Sequence[str] = ()
    ) -> AsyncGenerator[BrainOutput]:
        """Answer the callee. The state is kept here; `history` tells whether the last answer was heard at all.

        `found` are sentences that answer what the instructions do not.
        """
        dialogue, answered = await self._begun(), sum(turn.role == "user" for turn in history)
        last = self._last
        if last and heard.startswith(f"{last.heard} ") and answered == last.answered:
            # The callee went on talking before that reply: it was never given, so it changed nothing.
            dialogue = self._dialogue = last.before
        self._last = _Reply(heard, answered, dialogue.copy())
        for output in dialogue.hear(heard, found):
            yield output

    async def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """Ask once whether anybody is there, then say goodbye and end the call."""
        for output in (await self._begun()).silence(count):
            yield output


def _dialogue_of(profile: AgentProfile) -> Dialogue:
    brief = brief_of(profile)
    return Dialogue(brief, Knowledge(brief.facts))
