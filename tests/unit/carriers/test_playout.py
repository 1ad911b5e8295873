"""The queue of audio for the callee."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from call_service.carriers.playout import PlayQueue
from call_service.carriers.port import FRAME_BYTES, SILENCE_FRAME


def test_cuts_any_length_into_frames_and_fills_the_last() -> None:
    queue = PlayQueue()
    queue.put(b"\1" * 200)
    queue.put(b"\2" * 200)
    assert queue.queued_ms == 25
    assert queue.take() == b"\1" * 200 + b"\2" * 120
    assert queue.take() == (b"\2" * 80).ljust(FRAME_BYTES, b"\0")
    assert queue.take() == SILENCE_FRAME
    assert queue.queued_ms == 0


def test_refuses_half_a_sample() -> None:
    with pytest.raises(ValueError, match="even"):
        PlayQueue().put(b"\1")


def test_drops_what_exceeds_the_limit_and_says_how_much() -> None:
    queue = PlayQueue(timedelta(milliseconds=100))
    assert queue.put(bytes(16 * 130)) == 30
    assert queue.queued_ms == 100


def test_a_mark_fires_when_its_audio_was_taken_and_not_before() -> None:
    queue, fired = PlayQueue(), list[str]()
    queue.put(b"\1" * (FRAME_BYTES + 2))
    queue.mark(lambda: fired.append("first"))
    queue.put(b"\1" * FRAME_BYTES)
    queue.mark(lambda: fired.append("second"))
    for expected in ([], ["first"], ["first", "second"]):
        queue.take()
        queue.settle()
        assert fired == expected


def test_clear_fires_pending_marks_and_counts() -> None:
    queue, fired = PlayQueue(), list[str]()
    queue.put(bytes(16 * 50))
    queue.mark(lambda: fired.append("mark"))
    assert queue.clear() == 50
    assert fired == ["mark"]
    assert queue.clear() == 0


def test_a_mark_set_by_a_mark_waits_for_the_next_settling() -> None:
    queue, fired = PlayQueue(), list[int]()

    def again() -> None:
        fired.append(1)
        queue.mark(again)

    queue.mark(again)
    queue.settle()
    assert fired == [1]


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 900)),
        st.tuples(st.sampled_from(["take", "mark", "clear"]), st.just(0)),
    ),
    max_size=60,
)


@given(OPERATIONS)
def test_nothing_is_lost_doubled_or_reordered(operations: list[tuple[str, int]]) -> None:
    """Against a plain list of samples: what comes out is what went in, and marks fire in order at their place."""
    queue, fired, marks = PlayQueue(), list[int](), list[tuple[int, int]]()
    expected, put, gone = list[bytes](), 0, 0
    for operation, samples in operations:
        if operation == "put":
            new = [(put + n + 1).to_bytes(2, "little") for n in range(samples)]
            queue.put(b"".join(new))
            expected += new
            put += samples
        elif operation == "take":
            frame = queue.take()
            taken, expected = expected[:160], expected[160:]
            assert frame == b"".join(taken).ljust(FRAME_BYTES, b"\0")
            gone += len(taken)
            queue.settle()
        elif operation == "mark":
            number = len(marks)
            marks.append((put, number))
            queue.mark(lambda number=number: fired.append(number))
        else:
            assert queue.clear() == -(-len(expected) // 8)
            gone, expected = put, []
        must = [number for place, number in marks if place <= gone]
        if operation in {"take", "clear"}:
            assert fired == must
        assert fired == sorted(set(fired))
