"""What can be set about a call's conversation, and what comes out of it."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from call_service.voice.detection import Verdict
from call_service.voice.endpointing import EndpointingOptions
from call_service.voice.ports import Role, Turn


@dataclass(frozen=True, slots=True)
class Phrases:
    """What the session says of itself, in the agent's language."""

    repeat: str = "Sorry, I did not catch that. Could you say it again?"
    apology: str = "I am sorry, something is wrong on my side. Please try again later. Goodbye."
    time_is_up: str = "I am sorry, our time is up. Thank you, and goodbye."
    rescue: str = "I am sorry, something is wrong on my side. I will connect you with a colleague."
    not_connected: str = "I am sorry, nobody could be reached there just now."
    goodbye: str = "I have to end the call now. Goodbye."
    fillers: tuple[str, ...] = ("One moment, please.", "I am still here, just a moment.")

    @property
    def last_words(self) -> tuple[str, ...]:
        """What may have to be said when nothing works any more."""
        return (self.apology, self.rescue, self.repeat)


@dataclass(frozen=True, slots=True)
class DetectionPolicy:
    """What to do once it is sure that no person answered. `introduction` tells a screening assistant who calls.

    `navigate`: menus are answered as they speak, also where they speak over the agent, and are waited for.

    Where somebody calls us there is nothing to find out: it is not `is_on`.
    """

    is_on: bool = True
    ignores_voicemail: bool = False
    screening: Literal["answer", "hang_up", "continue"] = "continue"
    ivr: Literal["hang_up", "continue", "navigate"] = "continue"
    introduction: str = ""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """`voicemail_message` makes the agent leave a message on a machine; without one it hangs up."""

    voice_id: str = "heart"
    voicemail_message: str | None = None
    detection: DetectionPolicy = field(default_factory=DetectionPolicy)
    rescue_number: str | None = None  # whom the callee is sent to when the engines are broken
    silence_timeout: timedelta = timedelta(seconds=6)
    max_duration: timedelta = timedelta(minutes=10)
    hello_wait: timedelta = timedelta(seconds=1)
    engine_timeout: timedelta = timedelta(seconds=10)
    filler_after: timedelta = timedelta(milliseconds=1800)
    # Of detected voice; detection is late, so the audio stops 160 ms (p95 203 ms) after the first sound (20 sentences).
    barge_in_ms: int = 120
    # People say hello while the agent introduces itself; that should not stop it.
    opening_barge_in_ms: int = 600
    # The audio stops at `barge_in_ms`; what turns out to be shorter than this may still be noise or "uh-huh".
    interrupt_ms: int = 700
    dtmf_pause: timedelta = timedelta(milliseconds=1500)
    endpointing: EndpointingOptions = field(default_factory=EndpointingOptions)
    phrases: Phrases = field(default_factory=Phrases)


@dataclass(slots=True)
class TurnTimings:
    """Milliseconds each step added; None where the step did not happen.

    For a user turn: `endpointing_ms` from the last voice to the decision that the turn is over, `recognition_ms` from
    then to the text (guessing early makes it small). For an agent turn: `brain_ms` to the first sentence,
    `synthesis_ms` to its first audio, `voice_to_voice_ms` from the callee's last voice to the agent's first frame,
    `barge_in_ms` from the callee's first voice to the agent's silence, `playout_ms` how long it spoke, and the
    `characters` that were synthesised for it.
    """

    endpointing_ms: int | None = None
    recognition_ms: int | None = None
    brain_ms: int | None = None
    synthesis_ms: int | None = None
    voice_to_voice_ms: int | None = None
    barge_in_ms: int | None = None
    playout_ms: int | None = None
    characters: int | None = None


class SessionListener(Protocol):
    """Hears of a conversation as it happens. Called on the event loop; must not block."""

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None:
        """A turn is final: heard and understood, or spoken to its end or interruption."""

    def on_speech_started(self, role: Role) -> None:
        """Somebody began to speak."""

    def on_collected(self, field: str, value: str) -> None:
        """The brain got a value from the callee."""

    def on_detected(self, verdict: Verdict, at_ms: int) -> None:
        """It is known, or known better, who or what answered."""


Status = Literal["completed", "voicemail", "silence", "failed"]
Fault = Literal["none", "callee", "carrier", "provider", "platform"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a conversation ended, in the words of the public call object."""

    status: Status
    reason: str
    fault: Fault = "none"


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The whole conversation; `timings` has an entry for each of `turns`."""

    status: Status
    reason: str
    fault: Fault
    turns: tuple[Turn, ...]
    data: dict[str, str]
    timings: tuple[TurnTimings, ...]
