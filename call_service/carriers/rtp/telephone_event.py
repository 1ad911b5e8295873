"""Keys as RFC 4733 telephone events, both ways."""

import asyncio
from collections import deque
from struct import Struct

from call_service.carriers.port import FRAME_MS, FRAME_SAMPLES, KEY_MS
from call_service.carriers.rtp.packet import TIMESTAMP_MODULUS, timestamp_distance

KEYS = "0123456789*#ABCD"
EVENT = Struct("!BBH")
END = 0x80
VOLUME = 10
END_PACKETS = 3
PAUSE_FRAMES = 4
MAX_WAITING = 256


class KeyReceiver:
    """Tells each press once, at its first packet, whatever is lost, repeated or reordered after it."""

    def __init__(self) -> None:
        self._event = -1
        self._timestamp: int | None = None
        self._duration = 0
        self._has_ended = False

    def receive(self, timestamp: int, payload: bytes) -> str | None:
        """The key that this packet is the first of."""
        if len(payload) < EVENT.size:
            return None
        event, flags, duration = EVENT.unpack_from(payload)
        if event >= len(KEYS):
            return None
        behind = 1 if self._timestamp is None else timestamp_distance(timestamp, self._timestamp)
        if behind < 0:
            return None
        is_new = behind > 0 and not self._goes_on(event, behind)
        self._event, self._timestamp, self._duration = event, timestamp, duration
        self._has_ended = bool(flags & END)
        return KEYS[event] if is_new else None

    def _goes_on(self, event: int, behind: int) -> bool:
        """A press beyond 8 s goes on in another segment (RFC 4733 section 2.5.1.3)."""
        return event == self._event and not self._has_ended and behind == self._duration


class KeySender:
    """Turns keys into one payload a frame: the press with its end sent three times, then a pause of 80 ms."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, int] | asyncio.Future[None]] = deque()
        self._event = 0
        self._pressed_frames = 0
        self._frame = END_PACKETS + PAUSE_FRAMES
        self._timestamp = 0

    def press(self, keys: str, key_ms: int = KEY_MS) -> asyncio.Future[None]:
        """Queue keys of `key_ms` each. The future is done when the last one and its pause were sent.

        Raises:
            ValueError: something else than `0-9*#A-D`, or more than 256 keys wait.
        """
        if not set(KEYS).issuperset(keys):
            raise ValueError("keys are 0-9, *, # and A-D")
        if len(self._waiting) + len(keys) > MAX_WAITING:
            raise ValueError("too many keys wait to be sent")
        sent = asyncio.get_running_loop().create_future()
        self._waiting.extend((*((key, -(-key_ms // FRAME_MS)) for key in keys), sent))
        return sent

    def next(self, timestamp: int) -> tuple[int, bool, bytes] | None:
        """The event's timestamp, marker and payload for the frame at `timestamp`; None when it is one of audio."""
        if self._frame >= self._pressed_frames - 1 + END_PACKETS + PAUSE_FRAMES and not self._begin(timestamp):
            return None
        self._frame += 1
        if self._frame >= self._pressed_frames + END_PACKETS:
            return None
        is_end = self._frame >= self._pressed_frames
        duration = min(self._frame, self._pressed_frames) * FRAME_SAMPLES
        payload = EVENT.pack(self._event, END * is_end | VOLUME, duration)
        return self._timestamp % TIMESTAMP_MODULUS, self._frame == 1, payload

    def abandon(self, error: Exception | None = None) -> None:
        """Drop what waits and is pressed; the futures are done, or fail with `error`."""
        self._frame = self._pressed_frames + END_PACKETS + PAUSE_FRAMES
        while self._waiting:
            _finish(self._waiting.popleft(), error)

    def _begin(self, timestamp: int) -> bool:
        while self._waiting:
            entry = self._waiting.popleft()
            if isinstance(entry, tuple):
                self._event, self._pressed_frames = KEYS.index(entry[0]), entry[1]
                self._frame = 0
                self._timestamp = timestamp
                return True
            _finish(entry)
        return False


def _finish(entry: "tuple[str, int] | asyncio.Future[None]", error: Exception | None = None) -> None:
    if isinstance(entry, tuple) or entry.done():
        return
    if error:
        entry.set_exception(error)
    else:
        entry.set_result(None)
