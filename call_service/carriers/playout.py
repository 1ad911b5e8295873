"""Audio that waits to be played to the callee, with marks in it."""

from collections import deque
from collections.abc import Callable
from datetime import timedelta

from call_service.carriers.g711 import SAMPLE_BYTES
from call_service.carriers.port import BYTES_PER_MS, FRAME_BYTES, SILENCE_FRAME

MAX_QUEUED = timedelta(minutes=2)


class PlayQueue:
    """PCM in, 20 ms frames out; silence when it is empty.

    A mark fires at the `settle` after the last frame queued before it was taken, or when the queue is cleared.
    """

    def __init__(self, limit: timedelta = MAX_QUEUED) -> None:
        self._limit = int(limit.total_seconds() * 1000) * BYTES_PER_MS
        self._waiting = bytearray()
        self._put = 0
        self._marks: deque[tuple[int, Callable[[], None]]] = deque()

    @property
    def queued_ms(self) -> int:
        """Milliseconds that wait, rounded up."""
        return -(-len(self._waiting) // BYTES_PER_MS)

    def put(self, pcm: bytes) -> int:
        """Append; what exceeds the limit is dropped. Returns the dropped milliseconds.

        Raises:
            ValueError: half a sample.
        """
        if len(pcm) % SAMPLE_BYTES:
            raise ValueError("PCM of 16-bit samples has an even length")
        taken = pcm[: self._limit - len(self._waiting)]
        self._waiting += taken
        self._put += len(taken)
        return (len(pcm) - len(taken)) // BYTES_PER_MS

    def take(self) -> bytes:
        """The next frame, filled up with silence."""
        if not self._waiting:
            return SILENCE_FRAME
        frame = bytes(self._waiting[:FRAME_BYTES])
        del self._waiting[:FRAME_BYTES]
        return frame.ljust(FRAME_BYTES, b"\0")

    def mark(self, on_played: Callable[[], None]) -> None:
        """Remember to call `on_played` when everything put so far was taken or dropped."""
        self._marks.append((self._put, on_played))

    def settle(self) -> None:
        """Fire the marks that were reached."""
        taken = self._put - len(self._waiting)
        reached = []
        while self._marks and self._marks[0][0] <= taken:
            reached.append(self._marks.popleft()[1])
        for on_played in reached:
            on_played()

    def clear(self) -> int:
        """Drop everything, fire all marks. Returns the dropped milliseconds."""
        dropped = self.queued_ms
        self._waiting.clear()
        self.settle()
        return dropped
