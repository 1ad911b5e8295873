"""RTP packets on the wire (RFC 3550 section 5.1)."""

from struct import Struct
from typing import NamedTuple

from call_service.carriers.port import FRAME_SAMPLES

HEADER = Struct("!BBHII")
MAX_DATAGRAM = 1_500
VERSION = 0x80
MARKER = 0x80
SEQUENCE_MODULUS = 1 << 16
TIMESTAMP_MODULUS = 1 << 32
TIMESTAMP_HALF = 1 << 31
FRAME_PACKET_BYTES = HEADER.size + FRAME_SAMPLES
PADDING, EXTENSION, CONTRIBUTORS = 0x20, 0x10, 0x0F


class RtpPacket(NamedTuple):
    """A received packet; `payload` is free of padding."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes


def parse(data: bytes) -> RtpPacket | None:
    """The packet in a datagram, None when it is no RTP."""
    if len(data) < HEADER.size:
        return None
    flags, kind, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    payload = data[HEADER.size :] if flags == VERSION else _payload(data, flags)
    if payload is None:
        return None
    return RtpPacket(kind & 0x7F, sequence, timestamp, ssrc, payload)


def timestamp_distance(later: int, earlier: int) -> int:
    """Signed distance of two 32-bit timestamps across the wrap."""
    return (later - earlier + TIMESTAMP_HALF) % TIMESTAMP_MODULUS - TIMESTAMP_HALF


def _payload(data: bytes, flags: int) -> bytes | None:
    if flags & 0xC0 != VERSION:
        return None
    start = HEADER.size + 4 * (flags & CONTRIBUTORS)
    end = len(data)
    if flags & EXTENSION:
        start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4])
    if flags & PADDING:
        end -= data[-1] or len(data)
    return data[start:end] if start <= end else None
