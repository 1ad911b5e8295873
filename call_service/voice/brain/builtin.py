"""The brain for when there is no language model: deterministic, and honest about what it does not know.

It reads the agent's instructions once (`brief`), answers from them (`knowledge`) and converses (`dialogue`).
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from call_service.voice.brain.brief import brief_of
from call_service.voice.brain.dialogue import Dialogue
from call_service.voice.brain.knowledge import Knowledge
from call_service.voice.ports import AgentProfile, BrainOutput, Turn


class BuiltinBrain:
    """Opens conversations; needs no connection and keeps no state between calls."""

    def converse(self, profile: AgentProfile) -> "BuiltinConversation":
        """Start the conversation of one call."""
        return BuiltinConversation(profile)

    async def close(self) -> None:
        """There is nothing to free."""


class BuiltinConversation:
    """One call. An answer takes about a millisecond; long instructions take a hundred, so a thread reads them."""

    def __init__(self, profile: AgentProfile) -> None:
        self._profile = profile
        self._dialogue: Dialogue | None = None

    async def _begun(self) -> Dialogue:
        if self._dialogue is None:
            self._dialogue = await asyncio.to_thread(_dialogue_of, self._profile)
        return self._dialogue

    async def opening(self) -> AsyncGenerator[BrainOutput]:
        """The greeting, and the purpose of the call where the instructions name one; whoever is greeted starts anew."""
        self._dialogue = None
        for output in (await self._begun()).open():
            yield output

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """Answer the callee; `history` is not needed, the state is kept here."""
        del history
        for output in (await self._begun()).hear(heard):
            yield output

    async def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """Ask once whether anybody is there, then say goodbye and end the call."""
        for output in (await self._begun()).silence(count):
            yield output


def _dialogue_of(profile: AgentProfile) -> Dialogue:
    brief = brief_of(profile)
    return Dialogue(brief, Knowledge(brief.facts))
