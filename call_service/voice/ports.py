"""The ports of the voice loop: recognition, synthesis, voice activity, the brain.

Audio is signed 16-bit little-endian mono PCM at 8 kHz everywhere (see `carriers/port.py`). Inference never runs on the
event loop: adapters own their threads and their bounded queues.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from call_service.tools.toolbox import Toolbox

Role = Literal["agent", "user"]
AnsweredBy = Literal["human", "voicemail", "screening", "ivr", "unknown"]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side said. Times are milliseconds since the answer; `interrupted` turns hold only what was heard."""

    role: Role
    text: str
    start_ms: int
    end_ms: int
    interrupted: bool = False


class EngineError(Exception):
    """A speech or language engine failed; `stage` is `stt`, `tts`, `llm`, or `s2s` for a model that is all three."""

    def __init__(self, stage: Literal["stt", "tts", "llm", "s2s"], message: str) -> None:
        super().__init__(message)
        self.stage = stage


class Recognizer(Protocol):
    """Speech to text for one finished utterance."""

    async def recognize(self, pcm: bytes) -> str:
        """Text of the utterance, stripped; empty when nothing was understood.

        Raises:
            EngineError: stage `stt`; also when the engine's queue is full or its time-out passed.
        """

    @property
    def is_busy(self) -> bool:
        """Would a request wait for others? Then nothing is recognised on the mere guess that a turn is over."""


class Synthesizer(Protocol):
    """Text to speech, a sentence at a time. Repeated texts come from a bounded cache."""

    def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:
        """PCM of one sentence as it comes, in pieces of whole samples. Closing the generator stops the work.

        Raises:
            EngineError: stage `tts`.
        """

    async def synthesize(self, text: str, voice_id: str) -> bytes:
        """PCM of the whole sentence.

        Raises:
            EngineError: stage `tts`.
        """


class VoiceActivity(Protocol):
    """Voice activity detection for one call; fed with consecutive frames, keeps its own state."""

    def feed(self, pcm: bytes) -> float:
        """Speech probability (0..1) of the newest complete 32 ms window after appending this 20 ms frame."""


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """What the brain knows about the agent it plays; placeholders are filled already."""

    name: str
    instructions: str
    first_message: str | None = None
    language: str = "en"
    temperature: float = 0.7
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Say:
    """One sentence to speak. `expects` tunes endpointing of the answer."""

    text: str
    expects: Literal["yes_no", "digits", "open"] = "open"


@dataclass(frozen=True, slots=True)
class Spoken:
    """Some more of what a model says itself, of any length; `item` tells which of its utterances.

    `text` are the words that came with it. `cut` hears how many milliseconds of the item the callee heard, where that
    was not all of it.
    """

    item: str
    pcm: bytes
    text: str
    cut: Callable[[int], None]
    expects: Literal["yes_no", "digits", "open"] = "open"


@dataclass(frozen=True, slots=True)
class Collected:
    """A value the brain got from the callee (`name`, `day`, `number`, `confirmed`, …): goes into `call.data`."""

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up once everything said before was played."""


@dataclass(frozen=True, slots=True)
class Press:
    """Press keys (`0-9*#A-D`) once everything said before was played."""

    keys: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Connect the other party with a number once everything said before was played.

    A `warm` transfer calls the number first and tells who answers the `announcement`.
    """

    to: str
    mode: Literal["blind", "warm"] = "blind"
    announcement: str = ""


@dataclass(frozen=True, slots=True)
class Listen:
    """Deliberately say nothing."""


@dataclass(frozen=True, slots=True)
class Working:
    """A tool is at work: what it takes is not the brain's time."""


BrainOutput = Say | Spoken | Collected | EndCall | Press | Transfer | Listen | Working


class Conversation(Protocol):
    """The brain of one call. Implementations keep what they need of the history themselves."""

    def opening(self) -> AsyncIterator[BrainOutput]:
        """What the agent says first, and again to a person whom a screening assistant has fetched."""

    def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        """Answer the callee, sentence by sentence as they become ready. Closing the iterator cancels the work.

        `history` is what was really said and heard so far, without `heard`.

        Raises:
            EngineError: stage `llm`.
        """

    def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        """What to say after the `count`-th stretch of silence (1, 2, …); an EndCall gives up."""


class Brain(Protocol):
    """Opens conversations."""

    def converse(self, profile: AgentProfile, tools: "Toolbox | None" = None) -> Conversation:
        """Start the conversation of one call; `tools` are what the agent may do beside talking."""

    async def close(self) -> None:
        """Free connections."""
