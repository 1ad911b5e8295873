"""The port of a tool: something that a language model can call in the middle of a conversation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from call_service.voice.ports import BrainOutput

FollowUp = Literal["always", "if_silent", "never"]


@dataclass(frozen=True, slots=True)
class Found:
    """A passage of a document; `score` is how near it is to the question (-1..1)."""

    text: str
    document: str
    score: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a call. `text` is for the model, `outputs` are what the agent does about it.

    `error` is one word for programs when the tool has failed. `found` is for brains that don't read. `lapsed` replaces
    the text of what should have ended the conversation, once it goes on.
    """

    text: str
    error: str | None = None
    outputs: tuple[BrainOutput, ...] = ()
    found: tuple[Found, ...] = ()
    lapsed: str | None = None


class Tool(Protocol):
    """One tool of one call."""

    @property
    def name(self) -> str:
        """What the model calls it."""

    @property
    def kind(self) -> str:
        """A name for metrics, of which there are few."""

    @property
    def description(self) -> str:
        """When to use it, for the model."""

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON Schema of its arguments."""

    @property
    def filler(self) -> str | None:
        """What is said where the result takes long."""

    @property
    def follow_up(self) -> FollowUp:
        """Is the model asked again for words, once it has the result?"""

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        """Do it; the arguments fit the parameters. `use_id` is unique for each use. May be cancelled."""
