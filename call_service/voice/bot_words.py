"""Writes down what a bot says, from what was played of it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from call_service.carriers.port import FRAME_MS, SILENCE_FRAME
from call_service.voice.endpointing import EndpointingOptions, TurnEvent
from call_service.voice.listening import Ear, Utterance
from call_service.voice.options import TurnTimings
from call_service.voice.ports import EngineError, Recognizer, Turn, VoiceActivity

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

RECOGNITION = timedelta(seconds=4)
FLUSH_MS = 2_000


class BotWords:
    """Gives its turns to `record`, as soon as they are recognised. What is not recognised is in no transcript."""

    def __init__(
        self,
        recognizer: Recognizer,
        activity: VoiceActivity,
        now_ms: Callable[[], int],
        record: Callable[[Turn, TurnTimings], None],
    ) -> None:
        self._ahead_ms = 0  # of the call's clock
        self._ear = Ear(recognizer, activity, EndpointingOptions(), lambda: now_ms() + self._ahead_ms)
        self._record = record
        self._tasks: set[asyncio.Task[None]] = set()
        self._was_cut = False
        self._asked_ms: int | None = None

    def asked(self, end_ms: int) -> None:
        """The callee's turn ended: the next of the bot answers it."""
        self._asked_ms = end_ms

    def cut(self) -> None:
        """What it says was not played to its end."""
        self._was_cut = self._ear.is_hearing

    def hear(self, frame: bytes) -> bool:
        """20 ms that were played of it, or silence; whether it begins to speak."""
        match self._ear.hear(frame):
            case Utterance() as utterance:
                task = asyncio.create_task(self._write(utterance, self._timings(utterance), was_cut=self._was_cut))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                self._was_cut = False
            case TurnEvent.STARTED:
                return True
        return False

    async def finish(self) -> None:
        """Nothing more is played: write down what is left."""
        for _ in range(0, FLUSH_MS if self._ear.is_hearing else 0, FRAME_MS):
            self._ahead_ms += FRAME_MS
            self.hear(SILENCE_FRAME)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=RECOGNITION.total_seconds())

    def close(self) -> None:
        """Stop."""
        self._ear.close()
        for task in self._tasks:
            task.cancel()

    def _timings(self, utterance: Utterance) -> TurnTimings:
        asked_ms, self._asked_ms = self._asked_ms, None
        answers = asked_ms is not None and asked_ms <= utterance.start_ms
        return TurnTimings(
            voice_to_voice_ms=utterance.start_ms - asked_ms if answers and asked_ms is not None else None,
            playout_ms=utterance.end_ms - utterance.start_ms,
        )

    async def _write(self, utterance: Utterance, timings: TurnTimings, *, was_cut: bool) -> None:
        try:
            async with asyncio.timeout(RECOGNITION.total_seconds()):
                text = await utterance.text
        except (EngineError, TimeoutError) as error:
            log.warning("recognition_failed", error=repr(error))
            return
        if text:
            self._record(Turn("agent", text, utterance.start_ms, utterance.end_ms, interrupted=was_cut), timings)
