"""A telephone network in this process: the number chooses the callee, like a payment provider's test cards."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from random import Random

from call_service.carriers.port import CarrierRejectedError, DialRequest, IncomingCall, LegEvent
from call_service.carriers.scripts import Script
from call_service.carriers.simulated.book import ScriptBook
from call_service.carriers.simulated.callee import Callee
from call_service.carriers.simulated.leg import SimulatedLeg
from call_service.carriers.simulated.progress import Timing, call_progress
from call_service.carriers.simulated.sound import Noise
from call_service.carriers.simulated.speaker import Speaker
from call_service.carriers.ticker import Ticker
from call_service.voice.ports import Recognizer, Synthesizer

MAX_REMEMBERED_CALLS = 10_000


class SimulatedCarrier:
    """A `Carrier` without a network: callees speak by `synthesizer` and understand by `recognizer`.

    Without a recognizer they answer in a fixed order. `random` shapes the noise.
    """

    name = "simulated"

    def __init__(
        self,
        *,
        ticker: Ticker,
        synthesizer: Synthesizer,
        recognizer: Recognizer | None,
        book: ScriptBook,
        random: Random,
        voice_id: str,
        timing: Timing | None = None,
    ) -> None:
        self._ticker = ticker
        self._speaker = Speaker(synthesizer, voice_id)
        self._recognizer = recognizer
        self._book = book
        self._noise = Noise(random)
        self._timing = timing or Timing()
        self._legs: set[SimulatedLeg] = set()
        self._dialled: deque[str] = deque(maxlen=MAX_REMEMBERED_CALLS)

    async def place(self, request: DialRequest) -> SimulatedLeg:
        """As the port says; a number without a script is rejected with the numbers that have one."""
        script = self._book.find(request.to)
        if script is None:
            known = ", ".join(self._book.numbers)
            raise CarrierRejectedError(
                "carrier_rejected", detail=f"The simulated carrier reaches only its own numbers: {known}."
            )
        return self.connect(script, request)

    def connect(self, script: Script, request: DialRequest) -> SimulatedLeg:
        """Dial a callee who need not be in the book."""
        callee = partial(
            Callee,
            script,
            self._book.conversation(script),
            speaker=self._speaker,
            recognizer=self._recognizer,
            noise=self._noise,
        )
        leg = SimulatedLeg(
            call_progress(script, self._timing, request.ring_timeout),
            lambda press: callee(press=press),
            self._forget,
            partial(self._progress_to, request.ring_timeout),
        )
        self._legs.add(leg)
        self._ticker.add(leg)
        self._dialled.append(request.call_id)
        return leg

    async def find(self, call_id: str) -> bool | None:
        """True for calls placed here; None for others: another process may have placed them."""
        return True if call_id in self._dialled else None

    def on_call(self, listener: Callable[[IncomingCall], None]) -> None:
        """Nobody calls in here."""

    async def close(self) -> None:
        """End all legs."""
        for leg in tuple(self._legs):
            await leg.hang_up()

    def _progress_to(self, ring_timeout: timedelta, number: str) -> list[tuple[timedelta, LegEvent]] | None:
        script = self._book.find(number)
        return call_progress(script, self._timing, ring_timeout) if script else None

    def _forget(self, leg: SimulatedLeg) -> None:
        self._ticker.remove(leg)
        self._legs.discard(leg)
