"""The adaptive jitter buffer: packets in by timestamp, a frame out every 20 ms.

The delay follows the slowest packet of the last ten seconds. A packet that comes too late pushes the play-out back,
at once; time nobody needed is cut out by pitch periods. What counts is how early a packet is at the tick that takes
it in, so arrival times between ticks do not matter.
"""

from collections import deque

from call_service.carriers.concealment import SHORTEN_NEEDS, SHORTEST_PERIOD, Concealer, shorten
from call_service.carriers.g711 import SAMPLE_BYTES
from call_service.carriers.port import FRAME_SAMPLES, SILENCE_FRAME
from call_service.carriers.rtp.packet import TIMESTAMP_MODULUS, timestamp_distance

START_DELAY = 320
MIN_DELAY = 160
MAX_DELAY = 640
# Beyond these a timestamp belongs to another timeline.
MAX_AHEAD = 1_600
MAX_BEHIND = -8_000
MAX_LATE_IN_A_ROW = 10
WINDOW_PACKETS = 100
WINDOWS = 5
KNOWN = b"\1"
KNOWN_FRAME = KNOWN * FRAME_SAMPLES
SHORTENABLE = KNOWN * SHORTEN_NEEDS
# 30 ms: less is not worth touching what is heard.
WORTH_CUTTING = 240


class JitterBuffer:
    """Holds one stream for 20-80 ms. `put` and `take` PCM, int16 mono 8 kHz; timestamps count samples.

    `late` counts packets that came after their time and could not be used.
    """

    def __init__(self) -> None:
        self.late = 0
        self._concealer = Concealer()
        self._restart(0)
        self._is_started = False

    @property
    def concealed(self) -> int:
        """Samples that were made up for missing ones."""
        return self._concealer.concealed

    @property
    def depth(self) -> int:
        """Samples between the play-out and the end of the newest packet."""
        return len(self._known)

    def put(self, timestamp: int, pcm: bytes) -> None:
        """Take in one packet of any length, in any order."""
        early = timestamp_distance(timestamp, self._head)
        if not self._is_started or not MAX_BEHIND <= early <= MAX_AHEAD:
            self._restart(timestamp)
            early = START_DELAY
        if early >= 0:
            self._late_in_a_row = 0
            self._write(early, pcm)
        elif self._push_back(timestamp, -early):
            self._write(0, pcm)
        self._observe(max(early, 0))

    def take(self) -> bytes:
        """The next 20 ms: what arrived, or what conceals that it did not; silence before the first packet."""
        if not self._is_started:
            return SILENCE_FRAME
        if self._surplus >= SHORTEST_PERIOD and self._known.startswith(SHORTENABLE):
            return self._take_shortened()
        if not self._known.startswith(KNOWN_FRAME):
            return self._take_pieces()
        frame = self._real(0, FRAME_SAMPLES)
        self._pass(FRAME_SAMPLES)
        return frame

    def _restart(self, timestamp: int) -> None:
        self._is_started = True
        self._head = self._heard = (timestamp - START_DELAY) % TIMESTAMP_MODULUS
        self._pcm = bytearray(START_DELAY * SAMPLE_BYTES)
        self._known = bytearray(KNOWN * START_DELAY)
        self._late_in_a_row = 0
        self._surplus = 0
        self._earliness = MAX_AHEAD
        self._observed = 0
        self._windows: deque[int] = deque(maxlen=WINDOWS)

    def _push_back(self, timestamp: int, missed: int) -> bool:
        """Play later from now on, if the delay may grow. True when the late packet itself can still be heard."""
        if self.depth + missed <= MAX_DELAY + FRAME_SAMPLES:
            self._pcm[:0] = bytes(missed * SAMPLE_BYTES)
            self._known[:0] = bytes(missed)
            self._head = (self._head - missed) % TIMESTAMP_MODULUS
            if timestamp_distance(timestamp, self._heard) >= 0:
                return True
        self.late += 1
        self._late_in_a_row += 1
        if self._late_in_a_row > MAX_LATE_IN_A_ROW:
            self._restart(timestamp)
        return False

    def _write(self, at: int, pcm: bytes) -> None:
        samples = len(pcm) // SAMPLE_BYTES
        if at > self.depth:
            self._pcm.extend(bytes((at - self.depth) * SAMPLE_BYTES))
            self._known.extend(bytes(at - self.depth))
        end = at + samples
        self._pcm[at * SAMPLE_BYTES : end * SAMPLE_BYTES] = pcm
        self._known[at:end] = KNOWN * samples

    def _observe(self, early: int) -> None:
        self._earliness = min(self._earliness, early)
        self._surplus = max(self._surplus, early - MAX_DELAY)
        self._observed += 1
        if self._observed < WINDOW_PACKETS:
            return
        self._windows.append(self._earliness)
        self._earliness = MAX_AHEAD
        self._observed = 0
        unneeded = min(self._windows) - MIN_DELAY
        if unneeded >= WORTH_CUTTING:
            self._surplus = max(self._surplus, unneeded)

    def _take_shortened(self) -> bytes:
        frame, cut = shorten(bytes(self._pcm[: SHORTEN_NEEDS * SAMPLE_BYTES]), self._surplus)
        self._surplus -= cut
        self._earliness -= cut
        self._windows = deque((early - cut for early in self._windows), maxlen=WINDOWS)
        self._pass(FRAME_SAMPLES + cut)
        self._heard = self._head
        return self._concealer.real(frame)

    def _take_pieces(self) -> bytes:
        known = bytes(self._known[:FRAME_SAMPLES]).ljust(FRAME_SAMPLES, b"\0")
        pieces = []
        at = 0
        while at < FRAME_SAMPLES:
            end = known.find(1 - known[at], at)
            end = FRAME_SAMPLES if end < 0 else end
            pieces.append(self._real(at, end) if known[at] else self._concealer.missing(end - at))
            at = end
        self._pass(FRAME_SAMPLES)
        return b"".join(pieces)

    def _real(self, start: int, end: int) -> bytes:
        self._heard = (self._head + end) % TIMESTAMP_MODULUS
        return self._concealer.real(bytes(self._pcm[start * SAMPLE_BYTES : end * SAMPLE_BYTES]))

    def _pass(self, samples: int) -> None:
        self._head = (self._head + samples) % TIMESTAMP_MODULUS
        del self._pcm[: samples * SAMPLE_BYTES], self._known[:samples]
