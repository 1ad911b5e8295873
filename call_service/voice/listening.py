"""The ear of a call: cuts the callee's audio into utterances and has them recognised."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from call_service.carriers.port import BYTES_PER_MS
from call_service.voice.endpointing import EndpointingOptions, Expects, TurnDetector, TurnEvent
from call_service.voice.patience import STRATEGIES
from call_service.voice.ports import Recognizer, VoiceActivity

# Voice activity is known up to two windows late, and a first consonant is quieter than the detector's threshold.
PRE_ROLL_MS = 240
TAIL_MS = 100


@dataclass(frozen=True, slots=True)
class Utterance:
    """A finished turn of the callee; `text` is being recognised from `pcm`. Times are milliseconds since the answer."""

    start_ms: int
    end_ms: int
    decided_ms: int
    text: asyncio.Task[str]
    pcm: bytes = b""

    @property
    def recognised(self) -> str | None:
        """Its words, or none for noise; None while they are not known, and when they never will be."""
        is_known = self.text.done() and not self.text.cancelled() and not self.text.exception()
        return self.text.result() if is_known else None


class Ear:
    """Fed with every received frame. Recognition starts in the pause already, and is dropped if speech resumes."""

    def __init__(
        self,
        recognizer: Recognizer,
        activity: VoiceActivity,
        options: EndpointingOptions,
        now_ms: Callable[[], int],
    ) -> None:
        self._recognizer = recognizer
        self._activity = activity
        self._options = options
        self._strategy = STRATEGIES[options.strategy]
        self._asked: Expects = "open"
        self._detector = TurnDetector(options)
        self._now_ms = now_ms
        self._pcm = bytearray()
        self._guess: asyncio.Task[str] | None = None
        self._running: set[asyncio.Task[str]] = set()
        self.start_ms = 0
        """When the callee's current or last utterance began."""

    @property
    def is_hearing(self) -> bool:
        """Is the callee in the middle of an utterance?"""
        return self._detector.speaking

    @property
    def voiced_ms(self) -> int:
        """Voice in the current utterance."""
        return self._detector.voiced_ms if self._detector.speaking else 0

    @property
    def silence_ms(self) -> int:
        """Since the last voice."""
        return self._detector.silence_ms

    def expect(self, expects: Expects) -> None:
        """Tune the wait for the end of the next answer."""
        self._asked = expects
        self._detector.wait(self._strategy(self._options, expects, ""))

    def hear(self, frame: bytes) -> TurnEvent | Utterance | None:
        """Take 20 ms of audio. The end of a turn comes as its utterance."""
        self._pcm += frame
        event = self._detector.feed(self._activity.feed(frame))
        match event:
            case None if not self._detector.voiced_ms:
                del self._pcm[: -PRE_ROLL_MS * BYTES_PER_MS]
            case TurnEvent.STARTED:
                self.start_ms = self._now_ms() - self._detector.turn_ms
            case TurnEvent.PAUSED if not self._recognizer.is_busy:
                self._guess = self._recognize()
            case TurnEvent.RESUMED:
                self._drop_guess()
            case TurnEvent.ENDED:
                return self._finish()
        return event

    def finish(self) -> Utterance | None:
        """Nothing more comes: what was being said, if anything, is an utterance."""
        utterance = self._finish() if self.is_hearing else None
        self._detector = TurnDetector(self._options)
        return utterance

    def close(self) -> None:
        """Stop recognising."""
        for task in self._running:
            task.cancel()

    def _finish(self) -> Utterance:
        pcm = self._utterance()
        text, self._guess = self._guess or self._recognize(), None
        self._pcm.clear()
        now = self._now_ms()
        return Utterance(self.start_ms, now - self._detector.silence_ms, now, text, pcm)

    def _utterance(self) -> bytes:
        tail = max(0, self._detector.silence_ms - TAIL_MS) * BYTES_PER_MS
        return bytes(self._pcm[: len(self._pcm) - tail])

    def _recognize(self) -> asyncio.Task[str]:
        task = asyncio.create_task(self._recognizer.recognize(self._utterance()))
        self._running.add(task)
        task.add_done_callback(self._recognized)
        return task

    def _recognized(self, task: asyncio.Task[str]) -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() or task is not self._guess:
            return
        self._detector.wait(self._strategy(self._options, self._asked, task.result()))

    def _drop_guess(self) -> None:
        if self._guess:
            self._guess.cancel()
        self._guess = None
