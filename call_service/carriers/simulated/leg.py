"""One call on the simulated network."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta

import structlog

from call_service.carriers import g711
from call_service.carriers.events import EventLog
from call_service.carriers.playout import PlayQueue
from call_service.carriers.port import (
    FRAME_MS,
    KEY_MS,
    SILENCE_FRAME,
    Answered,
    Cause,
    DtmfReceived,
    Ended,
    LegEvent,
    TransferFailedError,
)
from call_service.carriers.simulated.callee import Callee
from call_service.carriers.simulated.progress import CANCELLED

log = structlog.get_logger()

FRAME = timedelta(milliseconds=FRAME_MS)
KEYS = frozenset("0123456789*#ABCD")
MAX_PRESSED = 64
NOT_FOUND, NOT_IN_A_CALL = 404, 481

Progress = Iterable[tuple[timedelta, LegEvent]]


class SimulatedLeg:
    """A `Leg` whose other end is a `Callee`; both hear each other through G.711 mu-law.

    `ticker` must call `tick` every 20 ms until `on_end` was called. `progress_to` tells what dialling a number comes
    to, None for one that nobody has.
    """

    def __init__(
        self,
        progress: Progress,
        callee: Callable[[Callable[[str], None]], Callee],
        on_end: Callable[["SimulatedLeg"], None],
        progress_to: Callable[[str], Progress | None],
    ) -> None:
        self._progress = deque(progress)
        self._callee = callee(self._receive_digit)
        self._on_end = on_end
        self._progress_to = progress_to
        self._is_held = False
        self._referrals: list[tuple[timedelta, Callable[[], None]]] = []
        self._events = EventLog()
        self._queue = PlayQueue()
        self._audio_listeners: list[Callable[[bytes], None]] = []
        self._played_listeners: list[Callable[[bytes], None]] = []
        self._pressed: deque[str] = deque(maxlen=MAX_PRESSED)
        self._elapsed = timedelta()
        self._life: asyncio.Task[None] | None = None
        if isinstance(self._progress[-1][1], Answered):
            self._life = asyncio.create_task(self._live())

    @property
    def recorded(self) -> bytes:
        """What the callee recorded of the agent, PCM."""
        return bytes(self._callee.handset.recorded)

    @property
    def said(self) -> tuple[tuple[str, int], ...]:
        """What the callee said, line by line, and the milliseconds from the answer to its end."""
        return tuple(self._callee.said)

    @property
    def pressed(self) -> str:
        """The last 64 keys that were pressed towards the callee."""
        return "".join(self._pressed)

    @property
    def queued_ms(self) -> int:
        return self._queue.queued_ms

    def on_audio(self, listener: Callable[[bytes], None]) -> None:
        self._audio_listeners.append(listener)

    def on_played_frame(self, listener: Callable[[bytes], None]) -> None:
        self._played_listeners.append(listener)

    def on_event(self, listener: Callable[[LegEvent], None]) -> None:
        self._events.listen(listener)

    def play(self, pcm: bytes) -> None:
        if self._events.has_ended:
            return
        dropped_ms = self._queue.put(pcm)
        if dropped_ms:
            log.warning("leg.play_queue_full", dropped_ms=dropped_ms)

    def clear(self) -> int:
        return self._queue.clear()

    def mark(self, on_played: Callable[[], None]) -> None:
        self._queue.mark(on_played)
        if self._events.has_ended:
            self._queue.settle()

    async def send_dtmf(self, digits: str, key_ms: int = KEY_MS) -> None:  # noqa: ARG002 # nobody here measures keys
        if not KEYS.issuperset(digits):
            raise ValueError("keys are 0-9, *, # and A-D")
        if self._is_talking:
            self._pressed.extend(digits)

    async def hold(self, *, held: bool) -> bool:
        if not self._is_talking:
            return False
        self._is_held = held
        return True

    async def transfer(self, target: str) -> None:
        """As the port says; the callee is gone once the target answered."""
        if not self._is_talking:
            raise TransferFailedError(NOT_IN_A_CALL)
        progress = self._progress_to(target)
        if progress is None:
            raise TransferFailedError(NOT_FOUND)
        after, event = tuple(progress)[-1]
        settled = asyncio.Event()
        self._referrals.append((self._elapsed + after, settled.set))
        await settled.wait()
        if not self._is_talking:
            raise TransferFailedError(NOT_IN_A_CALL)
        if isinstance(event, Ended):
            raise TransferFailedError(event.sip_code or NOT_FOUND)
        self._end(Ended(Cause.TRANSFERRED))

    async def hang_up(self) -> None:
        self._end(Ended(Cause.LOCAL_HANG_UP) if self._has_answered else CANCELLED)

    def tick(self) -> None:
        """Move on by 20 ms."""
        self._elapsed += FRAME
        if self._has_answered:
            self._exchange()
            self._settle_referrals()
        else:
            while self._progress and self._progress[0][0] <= self._elapsed:
                self._happen(self._progress.popleft()[1])

    def fail(self) -> None:
        """A listener of this leg raised: the call can't go on."""
        self._end(Ended(Cause.MEDIA_LOST))

    @property
    def _has_answered(self) -> bool:
        return not self._progress

    @property
    def _is_talking(self) -> bool:
        return self._has_answered and not self._events.has_ended

    def _settle_referrals(self) -> None:
        for due, settle in self._referrals:
            if due <= self._elapsed:
                settle()

    def _exchange(self) -> None:
        frame = self._queue.take()
        for listener in self._played_listeners:
            listener(frame)
        spoken = g711.over_the_wire(self._callee.handset.exchange(g711.over_the_wire(frame)))
        for listener in self._audio_listeners:
            listener(SILENCE_FRAME if self._is_held else spoken)
        self._queue.settle()

    def _happen(self, event: LegEvent) -> None:
        if isinstance(event, Ended):
            self._end(event)
        else:
            self._events.emit(event)

    def _receive_digit(self, digit: str) -> None:
        self._events.emit(DtmfReceived(digit))

    async def _live(self) -> None:
        try:
            await self._callee.live()
        except Exception:
            log.exception("simulated.callee_failed")
            self.fail()
        else:
            self._end(Ended(Cause.CALLEE_HUNG_UP))

    def _end(self, ended: Ended) -> None:
        if self._events.has_ended:
            return
        if self._life:
            self._life.cancel()
        self._on_end(self)
        self._queue.clear()
        self._events.emit(ended)
        for _, settle in self._referrals:
            settle()
