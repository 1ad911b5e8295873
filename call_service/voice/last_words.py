"""What the callee said last: a call may be over before it is recognised."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from call_service.voice.listening import Utterance
from call_service.voice.options import TurnTimings
from call_service.voice.ports import Turn

# The end of a call is told so much later at most; a recogniser that keeps up needs a fraction of it.
PATIENCE = timedelta(seconds=2)


class LastWords:
    """The utterances of one call that are in no transcript yet; `write` puts them there when the call is over."""

    def __init__(self, record: Callable[[Turn, TurnTimings], None]) -> None:
        self._record = record
        self._utterances: list[Utterance] = []

    def heard(self, utterance: Utterance) -> None:
        """It is being recognised. What was noise is forgotten."""
        self._utterances = [*(one for one in self._utterances if not one.text.done() or one.recognised), utterance]

    def written(self, turn: Turn) -> None:
        """It is in the transcript."""
        self._utterances = [
            one for one in self._utterances if (one.start_ms, one.end_ms) != (turn.start_ms, turn.end_ms)
        ]

    async def write(self) -> None:
        """Wait for what is still being recognised, two seconds at most."""
        if not self._utterances:
            return
        await asyncio.wait({one.text for one in self._utterances}, timeout=PATIENCE.total_seconds())
        for one in self._utterances:
            if text := one.recognised:
                self._record(Turn("user", text, one.start_ms, one.end_ms), TurnTimings())
        self._utterances = []
