"""What a receiver knows about the stream of one sender (RFC 3550 sections 6.4.1 and A.1, A.3, A.8)."""

from call_service.carriers.port import SAMPLE_RATE
from call_service.carriers.rtp.packet import SEQUENCE_MODULUS, timestamp_distance

MAX_DROPOUT = 3_000
MAX_MISORDER = 100
REMEMBERED = (1 << MAX_MISORDER) - 1
JITTER_GAIN = 1 / 16
ANOTHER_TIMELINE = 60 * SAMPLE_RATE


class Reception:
    """Counts packets and measures jitter. Arrival times are seconds of any clock that runs evenly."""

    def __init__(self) -> None:
        self.received = 0
        self._before_restart = 0
        self._first = -1
        self._highest = -1
        self._seen = 0
        self._jitter = 0.0
        self._transit: tuple[int, float] | None = None
        self._expected_before = 0
        self._received_before = 0

    @property
    def highest(self) -> int:
        """The highest sequence number with its wraps, 32 bits."""
        return self._highest & 0xFFFFFFFF

    @property
    def expected(self) -> int:
        """How many packets the sender sent, as far as can be told."""
        return self._before_restart + (self._highest - self._first + 1 if self.received else 0)

    @property
    def lost(self) -> int:
        """Packets that did not come (yet); duplicates do not count."""
        return self.expected - self.received

    @property
    def jitter(self) -> int:
        """Interarrival jitter in samples."""
        return int(self._jitter)

    @property
    def jitter_ms(self) -> float:
        """Interarrival jitter in milliseconds."""
        return self._jitter * 1000 / SAMPLE_RATE

    def count(self, sequence: int) -> bool:
        """Take note of a packet; False for one that came before."""
        ahead = (sequence - self._highest + MAX_MISORDER) % SEQUENCE_MODULUS - MAX_MISORDER
        if not self.received or ahead > MAX_DROPOUT:
            self._begin(sequence)
            return True
        if ahead > 0:
            self._highest += ahead
            self._seen = (self._seen << ahead | 1) & REMEMBERED
        elif self._seen >> -ahead & 1:
            return False
        else:
            self._seen |= 1 << -ahead
        self.received += 1
        return True

    def time(self, timestamp: int, arrival: float) -> None:
        """Take note of when the first packet of a frame came."""
        if self._transit is not None:
            last_timestamp, last_arrival = self._transit
            sent = timestamp_distance(timestamp, last_timestamp)
            difference = abs((arrival - last_arrival) * SAMPLE_RATE - sent)
            if difference < ANOTHER_TIMELINE:
                self._jitter += (difference - self._jitter) * JITTER_GAIN
        self._transit = timestamp, arrival

    def fraction_lost(self) -> int:
        """Of 256, since the last time this was asked."""
        expected = self.expected - self._expected_before
        received = self.received - self._received_before
        self._expected_before, self._received_before = self.expected, self.received
        return max(0, min(255, (expected - received) * 256 // expected)) if expected > 0 else 0

    def _begin(self, sequence: int) -> None:
        self._before_restart = self.expected
        self._first = self._highest = sequence
        self._seen = 1
        self.received += 1
