"""The call to somebody else during a call: who an attended transfer goes to."""

import asyncio
from dataclasses import dataclass

from call_service.carriers.port import (
    Answered,
    Carrier,
    CarrierRejectedError,
    Cause,
    DialRequest,
    Ended,
    Leg,
    LegEvent,
    OutcomeUnknownError,
)
from call_service.voice.brain.sentences import split_sentences
from call_service.voice.ports import EngineError, Synthesizer

PLACE_SECONDS = 15
RING_GRACE_SECONDS = 15
MARK_GRACE_SECONDS = 5


class NotReachedError(Exception):
    """Nobody there: `reason` says why, in the words of a call's reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Voice:
    """Who speaks to the target."""

    synthesizer: Synthesizer
    voice_id: str


class SecondLeg:
    """Runs once: `reach`, `tell`, then its `leg` is joined to the first; `hang_up` in any case."""

    def __init__(self, carrier: Carrier, request: DialRequest) -> None:
        self.leg: Leg
        self.ended = asyncio.Event()
        self._carrier = carrier
        self._request = request
        self._placed: Leg | None = None
        self._answered = asyncio.Event()
        self._reason = "no_answer"

    async def reach(self) -> None:
        """Dial and wait for the answer.

        Raises:
            NotReachedError: busy, no answer, refused, unknown.
        """
        try:
            async with asyncio.timeout(PLACE_SECONDS):
                self.leg = self._placed = await self._carrier.place(self._request)
        except CarrierRejectedError as error:
            raise NotReachedError(error.reason) from error
        except (OutcomeUnknownError, TimeoutError) as error:
            raise NotReachedError("outcome_unknown") from error
        self.leg.on_event(self._on_event)
        await self._until(self._answered, self._request.ring_timeout.total_seconds() + RING_GRACE_SECONDS)

    async def tell(self, text: str, voice: Voice) -> None:
        """Say something to who answered.

        Raises:
            NotReachedError: they hung up, or it could not be said.
        """
        told = asyncio.Event()
        try:
            for sentence in split_sentences(text):
                self.leg.play(await voice.synthesizer.synthesize(sentence, voice.voice_id))
        except EngineError as error:
            raise NotReachedError(f"{error.stage}_failed") from error
        self.leg.mark(told.set)
        await self._until(told, self.leg.queued_ms / 1000 + MARK_GRACE_SECONDS)

    async def hang_up(self) -> None:
        """Harmless when nobody was called, or they have left."""
        if self._placed:
            await self._placed.hang_up()

    async def _until(self, event: asyncio.Event, seconds: float) -> None:
        tasks = {asyncio.ensure_future(event.wait()), asyncio.ensure_future(self.ended.wait())}
        try:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
        if not done or self.ended.is_set():
            raise NotReachedError(self._reason)

    def _on_event(self, event: LegEvent) -> None:
        match event:
            case Answered():
                self._reason = Cause.CALLEE_HUNG_UP
                self._answered.set()
            case Ended(cause):
                self._reason = cause
                self.ended.set()
            case _:
                pass
