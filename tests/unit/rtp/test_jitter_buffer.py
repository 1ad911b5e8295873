"""The jitter buffer against networks that reorder, repeat, lose, delay and drift."""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.carriers.port import FRAME_BYTES, SILENCE_FRAME
from call_service.carriers.rtp.jitter import JitterBuffer

MS = 8  # samples
UNTIMED = settings(deadline=None)  # the machine may be busy
START = 2**32 - 3_000  # the timestamps wrap early in every test


def samples(start: int, count: int) -> bytes:
    """Audio that tells its own position, never zero."""
    return array("h", (1 + n % 30_000 for n in range(start, start + count))).tobytes()


@dataclass
class Sender:
    """Packets with their arrival, in samples of the receiver's clock."""

    packet: int = 160
    drift: float = 0.0
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    def send(self, packets: int, delays: Iterable[float | None]) -> None:
        """One delay a packet; None loses it."""
        first = len(self.arrivals)
        for number, delay in zip(range(first, first + packets), delays, strict=False):
            at = number * self.packet * (1 - self.drift)
            self.arrivals.append((at + delay if delay is not None else -1, number))

    def play_into(self, buffer: JitterBuffer, *, ticks: int | None = None) -> list[bytes]:
        """What is heard, tick by tick; the ticks come 4 ms after a packet was due."""
        waiting = sorted(each for each in self.arrivals if each[0] >= 0)
        ticks = ticks or len(self.arrivals) * self.packet // 160 + 10
        heard = []
        next_packet = 0
        for tick in range(ticks):
            now = tick * 160 + 4 * MS
            while next_packet < len(waiting) and waiting[next_packet][0] <= now:
                number = waiting[next_packet][1]
                start = number * self.packet
                buffer.put((START + start) % 2**32, samples(start, self.packet))
                next_packet += 1
            heard.append(buffer.take())
        return heard


def constant(delay: float) -> Iterable[float]:
    while True:
        yield delay


@UNTIMED
@given(st.sampled_from([80, 160, 240, 320, 480]), st.floats(0, 40))
def test_hears_all_of_a_perfect_stream_whatever_its_packets(packet: int, phase: float) -> None:
    sender = Sender(packet)
    sender.send(100, constant(phase))
    heard = b"".join(sender.play_into(JitterBuffer()))
    assert samples(0, 100 * packet) in heard


@UNTIMED
@given(st.builds(Random, st.integers(0, 2**16)))
def test_reordering_within_the_delay_is_not_heard(random: Random) -> None:
    sender = Sender()
    sender.send(100, [0.0, *(random.uniform(0, 38 * MS) for _ in range(99))])
    buffer = JitterBuffer()
    assert samples(0, 16_000) in b"".join(sender.play_into(buffer))
    assert (buffer.late, buffer.concealed) == (0, 480)  # only the fade after the last packet


@UNTIMED
@given(st.integers(10, 80), st.integers(1, 4))
def test_conceals_what_was_lost_and_nothing_else(first: int, count: int) -> None:
    sender = Sender()
    sender.send(100, (None if first <= n < first + count else 0.0 for n in range(100)))
    buffer = JitterBuffer()
    heard = b"".join(sender.play_into(buffer))
    assert samples(0, first * 160) in heard
    # The first 5 ms after a gap are blended.
    rest = samples((first + count) * 160 + 40, 16_000 - (first + count) * 160 - 40)
    assert rest in heard
    assert heard.index(rest) - heard.index(samples(0, 160)) == ((first + count) * 160 + 40) * 2
    assert buffer.concealed == min(count * 160, 480) + 480


def test_repeated_packets_change_nothing() -> None:
    buffer = JitterBuffer()
    buffer.put(START, samples(0, 160))
    buffer.put(START + 160, samples(160, 160))
    buffer.put(START, samples(0, 160))
    heard = b"".join(buffer.take() for _ in range(4))
    assert heard.endswith(samples(0, 320))


def test_a_stall_of_the_network_moves_the_play_out_and_loses_nothing() -> None:
    sender = Sender()
    sender.send(200, (max(0.0, 70.0 * MS - (n - 50) * 160) if n >= 50 else 0.0 for n in range(200)))
    buffer = JitterBuffer()
    heard = b"".join(sender.play_into(buffer))
    assert buffer.late == 0
    # Two frames are made up while it stalls, then the stream goes on where it was, 5 ms blended.
    assert (
        heard.index(samples(50 * 160 + 40, 150 * 160 - 40)) - heard.index(samples(0, 50 * 160)) == (50 * 160 + 360) * 2
    )


def test_a_packet_that_others_overtook_is_late_and_the_next_one_is_not() -> None:
    sender = Sender()
    sender.send(200, (70.0 * MS if n in {50, 100} else 0.0 for n in range(200)))
    buffer = JitterBuffer()
    heard = b"".join(sender.play_into(buffer))
    assert buffer.late == 1
    assert samples(60 * 160, 140 * 160) in heard


def test_learns_from_jitter_and_then_loses_nothing() -> None:
    random = Random(2)
    sender = Sender()
    sender.send(3_000, [0.0, *(random.uniform(0, 55 * MS) for _ in range(2_999))])
    buffer = JitterBuffer()
    sender.play_into(buffer, ticks=500)
    late = buffer.late
    assert late <= 5
    buffer = JitterBuffer()
    sender.play_into(buffer)
    assert buffer.late - late <= 3


def test_the_delay_shrinks_again_when_the_network_calms_down() -> None:
    random = Random(3)
    sender = Sender()
    sender.send(500, [0.0, *(random.uniform(0, 70 * MS) for _ in range(499))])
    buffer = JitterBuffer()
    sender.play_into(buffer, ticks=500)
    jittery = buffer.depth
    sender.send(1_500, constant(0.0))
    buffer = JitterBuffer()
    sender.play_into(buffer, ticks=2_000)
    assert jittery >= 60 * MS
    assert 20 * MS <= buffer.depth <= 50 * MS


@pytest.mark.parametrize("ppm", [200, -200, 50, -50])
def test_an_hour_of_clock_drift_loses_nothing_and_adds_no_delay(ppm: int) -> None:
    packets = 180_000
    buffer = JitterBuffer()
    deepest = 0
    due = 0
    for tick in range(packets):
        now = tick * 160 + 32
        while due * 160 * (1 - ppm / 1e6) <= now:
            buffer.put((START + due * 160) % 2**32, SILENCE_FRAME)
            due += 1
        deepest = max(deepest, buffer.depth)
        buffer.take()
    assert buffer.late == 0
    assert deepest <= 100 * MS
    # A slow sender misses a frame every 100 s at 200 ppm; a fast one leaves no gap at all.
    assert buffer.concealed <= (0 if ppm > 0 else packets * 160 * -ppm / 1e6 + 160)


def test_a_burst_after_a_stall_does_not_stay_as_delay() -> None:
    sender = Sender()
    sender.send(300, ((100 - n) * 160.0 if 50 <= n < 100 else 0.0 for n in range(300)))
    buffer = JitterBuffer()
    sender.play_into(buffer, ticks=150)
    assert buffer.depth <= 100 * MS


@pytest.mark.parametrize("jump", [1_000_000, -1_000_000, 5_000, -5_000])
def test_another_timeline_is_followed(jump: int) -> None:
    buffer = JitterBuffer()
    for number in range(50):
        buffer.put((START + number * 160) % 2**32, samples(number * 160, 160))
        buffer.take()
    heard = []
    for number in range(50, 100):
        buffer.put((START + jump + number * 160) % 2**32, samples(number * 160, 160))
        heard.append(buffer.take())
    assert samples(70 * 160, 25 * 160) in b"".join(heard)


def test_silence_before_the_first_packet_conceals_nothing() -> None:
    buffer = JitterBuffer()
    assert [buffer.take() for _ in range(3)] == [SILENCE_FRAME] * 3
    assert buffer.concealed == 0


@UNTIMED
@given(
    st.lists(
        st.tuples(
            st.one_of(st.integers(0, 2**32 - 1), st.integers(-3_000, 3_000).map(lambda n: (START + n) % 2**32)),
            st.integers(0, 700),
        ),
        max_size=200,
    )
)
def test_any_packets_give_whole_frames_and_a_bounded_buffer(packets: list[tuple[int, int]]) -> None:
    buffer = JitterBuffer()
    for timestamp, count in packets:
        buffer.put(timestamp, samples(0, count))
        assert buffer.depth <= 3_200
        assert len(buffer.take()) == FRAME_BYTES
