"""Whether a voice over the agent's is an interruption."""

import asyncio
from collections.abc import Callable

from call_service.voice.backchannels import is_backchannel, is_consent
from call_service.voice.listening import Ear, Utterance
from call_service.voice.options import SessionOptions
from call_service.voice.speaking import AgentTurn


class Interruptions:
    """Of one call. The audio stops at once; what it was is known when the voice goes on or is understood."""

    def __init__(self, options: SessionOptions, ear: Ear, now_ms: Callable[[], int]) -> None:
        self._options = options
        self._ear = ear
        self._now_ms = now_ms
        self._stops_ms = options.opening_barge_in_ms

    def opened(self) -> None:
        """The agent has introduced itself: from now on any voice stops it."""
        self._stops_ms = self._options.barge_in_ms

    def hear(self, turn: AgentTurn | None) -> None:
        """20 ms passed while `turn` was spoken: hold it, or end it. Promises are kept until the words are known."""
        voiced_ms = self._ear.voiced_ms
        if not turn or not turn.may_interrupt or voiced_ms < self._stops_ms:
            return
        if not turn.is_held:
            turn.hold()
            turn.timings.barge_in_ms = self._now_ms() - self._ear.start_ms
            self._ear.expect("yes_no")
        elif voiced_ms >= self._options.interrupt_ms and not turn.promises_transfer:
            self._ear.expect("open")
            turn.interrupt()

    async def is_one(self, turn: AgentTurn, utterance: Utterance) -> bool:
        """What stopped `turn` was short. Was the agent told something, or does it go on?"""
        await asyncio.wait({utterance.text}, timeout=self._options.engine_timeout.total_seconds())
        text = utterance.recognised
        if text is None:
            return True
        if turn.promises_transfer:
            return not is_consent(text)
        is_answer = bool(turn.expects == "yes_no" and turn.has_asked and text)
        return is_answer or not is_backchannel(text)
