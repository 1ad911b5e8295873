"""Loss and jitter as RFC 3550 defines them."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.carriers.rtp.reception import Reception

UNTIMED = settings(deadline=None)  # the machine may be busy


def receive(sequences: list[int]) -> Reception:
    reception = Reception()
    for sequence in sequences:
        reception.count(sequence % 65_536)
    return reception


@UNTIMED
@given(st.integers(0, 65_535), st.sets(st.integers(1, 400), max_size=120), st.builds(Random, st.integers(0, 2**16)))
def test_counts_every_lost_packet_once_whatever_the_order(first: int, lost: set[int], random: Random) -> None:
    sent = [n for n in range(500) if n not in lost]
    jostled = sorted(sent[1:], key=lambda n: n + random.uniform(0, 20))
    reception = receive([first + n for n in (0, *jostled)])
    assert (reception.received, reception.expected, reception.lost) == (500 - len(lost), 500, len(lost))
    assert reception.highest == first + 499


def test_a_wrap_counts_in_the_highest_number() -> None:
    assert receive([65_534, 65_535, 0, 1]).highest == 65_537


def test_repetitions_are_told_and_not_counted() -> None:
    reception = Reception()
    assert [reception.count(n) for n in (10, 11, 11, 10, 12, 13, 11)] == [True, True, False, False, True, True, False]
    assert (reception.received, reception.lost) == (4, 0)


@pytest.mark.parametrize("jump", [10_000, 40_000, -500])
def test_a_sender_that_restarts_its_numbers_lost_nothing(jump: int) -> None:
    reception = receive([*range(1_000, 1_100), *range(1_100 + jump, 1_200 + jump)])
    assert (reception.received, reception.lost) == (200, 0)


def test_the_fraction_is_of_the_last_interval() -> None:
    reception = Reception()
    for number in range(100):
        reception.count(number)
    assert reception.fraction_lost() == 0
    for number in range(100, 200, 2):
        reception.count(number)
    assert reception.fraction_lost() == 49 * 256 // 99  # the last one has not been missed yet
    assert reception.fraction_lost() == 0


def test_nothing_received_is_nothing_lost() -> None:
    reception = Reception()
    assert (reception.lost, reception.fraction_lost(), reception.jitter) == (0, 0, 0)


def test_a_steady_stream_has_no_jitter() -> None:
    reception = Reception()
    for number in range(500):
        reception.time((2**32 - 100 + number * 160) % 2**32, 1e9 + number * 0.02)
    assert reception.jitter_ms < 0.001


def test_jitter_is_the_filter_of_appendix_a_8() -> None:
    random = Random(5)
    arrivals = [number * 0.02 + random.uniform(0, 0.03) for number in range(400)]
    reception = Reception()
    for number, arrival in enumerate(arrivals):
        reception.time(number * 160, arrival)
    jitter = 0.0
    transits = [arrival * 8_000 - number * 160 for number, arrival in enumerate(arrivals)]
    for before, transit in pairwise(transits):
        jitter += (abs(transit - before) - jitter) / 16
    assert reception.jitter_ms == pytest.approx(jitter / 8)
    assert 8 < reception.jitter_ms < 12


def test_another_timeline_is_no_jitter() -> None:
    reception = Reception()
    for number in range(100):
        reception.time(number * 160 + (number >= 50) * 2_000_000_000, number * 0.02)
    assert reception.jitter_ms < 0.001
