"""When a turn begins and when it is over: a pure state machine fed with speech probabilities, 20 ms each.

Waiting for the end of a turn is three quarters of a voice agent's latency, so the wait depends on what was asked.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from call_service.carriers.port import FRAME_MS

Expects = Literal["yes_no", "digits", "open"]
StrategyName = Literal["fixed", "question", "sentence"]


@dataclass(frozen=True, slots=True)
class EndpointingOptions:
    """Thresholds of speech probability, and durations in milliseconds. `strategy` chooses between them."""

    strategy: StrategyName = "question"
    speech_above: float = 0.5
    silence_below: float = 0.35  # lower than `speech_above`, so that a wavering voice is one stretch of speech
    min_speech_ms: int = 80
    max_turn_ms: int = 30_000
    wait_yes_no_ms: int = 300
    wait_ms: int = 500
    wait_digits_ms: int = 900
    # The guess starts so late that few pauses inside a sentence cost a recognition, and is ready when the wait ends.
    guess_at: float = 0.6

    def wait_for(self, expects: Expects) -> int:
        """Milliseconds of silence that end a turn."""
        return {"yes_no": self.wait_yes_no_ms, "digits": self.wait_digits_ms, "open": self.wait_ms}[expects]


class TurnEvent(Enum):
    """What happened with the newest frame."""

    STARTED = auto()  # speech of at least `min_speech_ms`
    PAUSED = auto()  # silence long enough to guess that the turn is over
    RESUMED = auto()  # it was not
    ENDED = auto()


class TurnDetector:
    """Finds the turns of one speaker."""

    def __init__(self, options: EndpointingOptions | None = None) -> None:
        self._options = options or EndpointingOptions()
        self._wait_ms = self._options.wait_ms
        self._above = False
        self._paused = False
        self.speaking = False
        self.voiced_ms = 0
        """Speech heard in this turn, or so far towards its start."""
        self.silence_ms = 0
        """Silence since the last speech of this turn."""
        self.turn_ms = 0
        """Age of this turn since its first speech."""

    def wait(self, ms: int) -> None:
        """Let so much silence end a turn; also in the middle of one."""
        self._wait_ms = ms

    def feed(self, probability: float) -> TurnEvent | None:
        """Take the next 20 ms. At most one event comes of a frame."""
        options = self._options
        self._above = probability >= (options.silence_below if self._above else options.speech_above)
        if self.voiced_ms or self._above:
            self.turn_ms += FRAME_MS
        if self._above:
            return self._voiced()
        self.silence_ms += FRAME_MS
        return self._silent()

    def _voiced(self) -> TurnEvent | None:
        self.voiced_ms += FRAME_MS
        self.silence_ms = 0
        if not self.speaking:
            self.speaking = self.voiced_ms >= self._options.min_speech_ms
            return TurnEvent.STARTED if self.speaking else None
        if self.turn_ms >= self._options.max_turn_ms:
            return self._end()
        if self._paused:
            self._paused = False
            return TurnEvent.RESUMED
        return None

    def _silent(self) -> TurnEvent | None:
        if not self.speaking:
            if self.silence_ms > self._options.min_speech_ms:
                self._reset()  # a click, not speech
            return None
        if self.silence_ms >= self._wait_ms:
            return self._end()
        if not self._paused and self.silence_ms >= self._options.guess_at * self._wait_ms:
            self._paused = True
            return TurnEvent.PAUSED
        return None

    def _end(self) -> TurnEvent:
        self._reset()
        return TurnEvent.ENDED

    def _reset(self) -> None:
        self.speaking = self._paused = False
        self.voiced_ms = self.turn_ms = 0
