"""RTP headers, also those that few senders use."""

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.carriers.rtp.packet import RtpPacket, parse, timestamp_distance

UNTIMED = settings(deadline=None)  # the machine may be busy
PAYLOAD = bytes(range(160))


def datagram(
    flags: int = 0x80, kind: int = 0, *, sequence: int = 7, timestamp: int = 1_000, ssrc: int = 9, tail: bytes = PAYLOAD
) -> bytes:
    return pack("!BBHII", flags, kind, sequence, timestamp, ssrc) + tail


def test_reads_a_plain_packet() -> None:
    assert parse(datagram(kind=0x80 | 8)) == RtpPacket(8, 7, 1_000, 9, PAYLOAD)


def test_skips_contributors_extension_and_padding() -> None:
    extension = pack("!HH", 0xBEDE, 2) + bytes(8)
    tail = bytes(4 * 3) + extension + PAYLOAD + b"\0\0\3"
    packet = parse(datagram(0x80 | 0x20 | 0x10 | 3, tail=tail))
    assert packet is not None
    assert packet.payload == PAYLOAD


@pytest.mark.parametrize(
    "data",
    [
        b"",
        datagram()[:11],
        datagram(0x40),
        datagram(0x80 | 15, tail=b"short"),
        datagram(0x80 | 0x10, tail=b""),
        datagram(0x80 | 0x10, tail=pack("!HH", 0, 9)),
        datagram(0x80 | 0x20, tail=b"\0\0"),
        datagram(0x80 | 0x20, tail=b"\xff"),
        datagram(0x80 | 0x20, tail=b""),
    ],
)
def test_refuses_what_is_no_rtp(data: bytes) -> None:
    assert parse(data) is None


@UNTIMED
@given(st.binary(max_size=200))
def test_never_reads_beyond_the_datagram(data: bytes) -> None:
    packet = parse(data)
    assert packet is None or packet.payload in data[12:]


@UNTIMED
@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_timestamps_compare_across_the_wrap(timestamp: int, distance: int) -> None:
    assert timestamp_distance((timestamp + distance) % 2**32, timestamp) == distance
