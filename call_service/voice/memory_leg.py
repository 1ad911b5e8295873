"""A leg without a network: what a test or a benchmark says arrives as audio, what the agent says can be read back."""

from collections.abc import Callable

from call_service.carriers.events import EventLog
from call_service.carriers.playout import PlayQueue
from call_service.carriers.port import FRAME_BYTES, KEY_MS, SILENCE_FRAME, Cause, Ended, LegEvent, TransferFailedError

Frames = Callable[[bytes], None]


class MemoryLeg:
    """A `Leg` that moves on by 20 ms with each `tick`."""

    def __init__(self) -> None:
        self._to_hear = bytearray()
        self._queue = PlayQueue()
        self._events = EventLog()
        self._audio: list[Frames] = []
        self._played: list[Frames] = []
        self.sent_dtmf = ""
        self.is_held = False
        self.transferred_to: str | None = None
        self.refusal: int | None = None
        self.has_ended = False

    def say(self, pcm: bytes) -> None:
        """Let the callee say something, behind what it is saying already."""
        self._to_hear += pcm

    @property
    def callee_is_speaking(self) -> bool:
        """Is something of `say` left?"""
        return bool(self._to_hear)

    def tick(self) -> None:
        """20 ms pass: one frame comes, one goes."""
        if self.has_ended:
            return
        frame = bytes(self._to_hear[:FRAME_BYTES]).ljust(FRAME_BYTES, b"\0")
        del self._to_hear[:FRAME_BYTES]
        for hear in self._audio:
            hear(frame)
        out = self._queue.take() if self._queue.queued_ms else SILENCE_FRAME
        for played in self._played:
            played(out)
        self._queue.settle()

    def fail(self) -> None:
        """The ticker gave up on this leg."""
        self.end(Cause.MEDIA_LOST)

    def emit(self, event: LegEvent) -> None:
        """Let something happen."""
        self._events.emit(event)

    def end(self, cause: str = Cause.CALLEE_HUNG_UP) -> None:
        """The leg is over."""
        if not self.has_ended:
            self.has_ended = True
            self._events.emit(Ended(cause))

    def on_audio(self, listener: Frames) -> None:
        self._audio.append(listener)

    def on_event(self, listener: Callable[[LegEvent], None]) -> None:
        self._events.listen(listener)

    def on_played_frame(self, listener: Frames) -> None:
        self._played.append(listener)

    def play(self, pcm: bytes) -> None:
        self._queue.put(pcm)

    def clear(self) -> int:
        return self._queue.clear()

    def mark(self, on_played: Callable[[], None]) -> None:
        self._queue.mark(on_played)

    @property
    def queued_ms(self) -> int:
        return self._queue.queued_ms

    async def send_dtmf(self, digits: str, key_ms: int = KEY_MS) -> None:  # noqa: ARG002 # a key is a key
        self.sent_dtmf += digits

    async def hold(self, *, held: bool) -> bool:
        self.is_held = held
        return not self.has_ended

    async def transfer(self, target: str) -> None:
        """Succeeds unless there is a `refusal`."""
        if self.refusal:
            raise TransferFailedError(self.refusal)
        self.transferred_to = target
        self.end(Cause.TRANSFERRED)

    async def hang_up(self) -> None:
        self.end(Cause.LOCAL_HANG_UP)
