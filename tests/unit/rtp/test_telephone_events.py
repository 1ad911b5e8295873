"""Keys over RFC 4733."""

import asyncio
from random import Random
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.carriers.rtp.telephone_event import KEYS, KeyReceiver, KeySender

UNTIMED = settings(deadline=None)  # the machine may be busy
Packet = tuple[int, bytes]


def event(key: str, duration: int, *, is_end: bool = False) -> bytes:
    return pack("!BBH", KEYS.index(key), 0x80 * is_end | 10, duration)


def press(key: str, timestamp: int) -> list[Packet]:
    going_on = [(timestamp, event(key, n * 160)) for n in range(1, 6)]
    return going_on + [(timestamp, event(key, 960, is_end=True))] * 3


def received(packets: list[Packet]) -> str:
    receiver = KeyReceiver()
    return "".join(filter(None, (receiver.receive(*packet) for packet in packets)))


@UNTIMED
@given(st.text(KEYS, max_size=20), st.integers(0, 2**32 - 1), st.data())
def test_each_press_is_told_once_whatever_gets_lost_or_repeated(keys: str, start: int, data: st.DataObject) -> None:
    packets = []
    for number, key in enumerate(keys):
        sent = press(key, (start + number * 1_600) % 2**32)
        kept = data.draw(st.lists(st.sampled_from(sent), min_size=1, max_size=12))
        packets += kept
    assert received(packets) == keys


def test_an_old_packet_is_no_new_press() -> None:
    assert received([*press("4", 0), *press("2", 1_600), *press("4", 0), *press("2", 1_600)]) == "42"


def test_the_same_key_twice_is_two_presses() -> None:
    assert received([*press("5", 0), *press("5", 1_600)]) == "55"


def test_a_press_of_twenty_seconds_is_one() -> None:
    segments = [(n * 0xFFFF, event("9", 0xFFFF)) for n in range(3)]
    assert received([*segments, (3 * 0xFFFF, event("9", 800, is_end=True))]) == "9"


@pytest.mark.parametrize("payload", [b"", b"\1\2\3", pack("!BBH", 16, 0, 160), pack("!BBH", 255, 0x80, 160)])
def test_ignores_what_is_no_key(payload: bytes) -> None:
    assert KeyReceiver().receive(0, payload) is None


async def test_sends_five_frames_of_press_three_ends_and_a_pause() -> None:
    sender = KeySender()
    sent = sender.press("#1")
    frames = [sender.next(7_000 + n * 160) for n in range(30)]
    first, second = frames[:11], frames[11:22]
    assert [frame and frame[0] for frame in first] == [7_000] * 7 + [None] * 4
    assert [frame and frame[1] for frame in first[:7]] == [True] + [False] * 6
    assert [frame and frame[2] for frame in first[:7]] == [
        *(event("#", n * 160) for n in range(1, 5)),
        *[event("#", 800, is_end=True)] * 3,
    ]
    assert [frame and frame[0] for frame in second] == [7_000 + 11 * 160] * 7 + [None] * 4
    assert frames[22:] == [None] * 8
    await asyncio.wait_for(sent, 1)


@pytest.mark.parametrize(("key_ms", "frames"), [(40, 2), (150, 8), (1_000, 50)])
async def test_a_key_is_pressed_as_long_as_it_is_told(key_ms: int, frames: int) -> None:
    sender = KeySender()
    sent = sender.press("5", key_ms)
    payloads = [found[2] for n in range(frames + 10) if (found := sender.next(n * 160))]
    assert len(payloads) == frames - 1 + 3
    assert set(payloads[frames - 1 :]) == {event("5", frames * 160, is_end=True)}
    assert sent.done()


async def test_is_done_only_after_the_last_pause() -> None:
    sender = KeySender()
    sent = sender.press("1")
    for number in range(11):
        sender.next(number * 160)
    assert not sent.done()
    sender.next(11 * 160)
    assert sent.done()


async def test_what_is_sent_is_received_over_a_bad_line() -> None:
    random = Random(1)
    sender, receiver = KeySender(), KeyReceiver()
    keys = "0123456789*#ABCD" * 4
    sent = sender.press(keys)
    heard = []
    timestamp = 0
    while not sent.done():
        frame = sender.next(timestamp)
        timestamp += 160
        if frame and random.random() > 0.3:
            heard.append(receiver.receive(frame[0], frame[2]))
    assert "".join(filter(None, heard)) == keys


async def test_pressing_nothing_is_done_at_the_next_frame() -> None:
    sender = KeySender()
    sent = sender.press("")
    assert sender.next(0) is None
    assert sent.done()


@pytest.mark.parametrize("keys", ["E", "1 2", "a", "1" * 257])
async def test_refuses_other_keys_and_too_many(keys: str) -> None:
    with pytest.raises(ValueError, match="key"):
        KeySender().press(keys)


async def test_abandoning_releases_whoever_waits() -> None:
    sender = KeySender()
    first, second = sender.press("12"), sender.press("3")
    second.cancel()
    sender.abandon()
    assert first.done()
    assert sender.next(0) is None
