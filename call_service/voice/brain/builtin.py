"""The brain for when there is no language model: deterministic, and honest about what it does not know.

It reads the agent's instructions once (`brief`), answers from them (`knowledge`) and converses (`dialogue`).
"""

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
    """One call. Every answer takes about a millisecond, so it is computed on the event loop."""

    def __init__(self, profile: AgentProfile) -> None:
        brief = brief_of(profile)
        self._dialogue = Dialogue(brief, Knowledge(brief.facts))

    async def opening(self) -> AsyncGenerator[BrainOutput]:
        """The greeting, and the purpose of the call where the instructions name one."""
        for output in self._dialogue.open():
            yield output

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """Answer the callee; `history` is not needed, the state is kept here."""
        del history
        for output in self._dialogue.hear(heard):
            yield output

    async def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """Ask once whether anybody is there, then say goodbye and end the call."""
        for output in self._dialogue.silence(count):
            yield output
