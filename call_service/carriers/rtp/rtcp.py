"""RTCP packets on the wire (RFC 3550 section 6). Times are NTP: seconds since 1900 in 32.32 or 16.16 bits."""

from struct import Struct
from typing import NamedTuple

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, BYE = 200, 201, 202, 203
NTP_EPOCH = 2_208_988_800
HEADER = Struct("!BBH")
SSRC = Struct("!I")
SENDER_INFO = Struct("!QIII")
BLOCK = Struct("!IIIIII")
VERSION = 0x80
MAX_COUNT = 31
CNAME = 1
MIN_LOST, MAX_LOST = -(1 << 23), (1 << 23) - 1


class ReportBlock(NamedTuple):
    """What a receiver says about the stream `ssrc`. Jitter in samples; LSR and DLSR as on the wire."""

    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_report: int
    since_last_report: int


class SenderInfo(NamedTuple):
    """What a sender says about its own stream."""

    ntp: int
    timestamp: int
    packets: int
    octets: int


class Report(NamedTuple):
    """A sender report, or a receiver report when `sender` is None."""

    ssrc: int
    sender: SenderInfo | None
    blocks: list[ReportBlock]


def ntp_time(unix_seconds: float) -> int:
    """Unix time in 32.32 bits."""
    return int((unix_seconds + NTP_EPOCH) * (1 << 32)) & 0xFFFFFFFFFFFFFFFF


def middle(ntp: int) -> int:
    """The 16.16 bits in the middle, which LSR carries."""
    return ntp >> 16 & 0xFFFFFFFF


def build_report(report: Report) -> bytes:
    """One SR or RR."""
    kind = RECEIVER_REPORT if report.sender is None else SENDER_REPORT
    sender = b"" if report.sender is None else SENDER_INFO.pack(*report.sender)
    body = sender + b"".join(map(_build_block, report.blocks))
    return _header(kind, len(report.blocks), report.ssrc, len(body)) + body


def build_description(ssrc: int, name: str) -> bytes:
    """An SDES with the canonical name."""
    item = bytes((CNAME, len(name))) + name.encode()
    body = item + bytes(4 - len(item) % 4)
    return _header(SOURCE_DESCRIPTION, 1, ssrc, len(body)) + body


def build_bye(ssrc: int) -> bytes:
    """The stream ends."""
    return _header(BYE, 1, ssrc, 0)


def parse_reports(data: bytes) -> list[Report]:
    """The reports in a compound packet; none when any of it is malformed (RFC 3550 A.2)."""
    reports = []
    at = 0
    while at < len(data):
        if len(data) - at < HEADER.size:
            return []
        flags, kind, words = HEADER.unpack_from(data, at)
        end = at + 4 * (words + 1)
        if flags & 0xC0 != VERSION or end > len(data):
            return []
        if kind in {SENDER_REPORT, RECEIVER_REPORT}:
            report = _parse_report(kind, flags & MAX_COUNT, data[at + HEADER.size : end])
            if report is None:
                return []
            reports.append(report)
        at = end
    return reports


def _parse_report(kind: int, count: int, body: bytes) -> Report | None:
    is_sender = kind == SENDER_REPORT
    start = SSRC.size + SENDER_INFO.size * is_sender
    if len(body) < start + count * BLOCK.size:
        return None
    (ssrc,) = SSRC.unpack_from(body)
    sender = SenderInfo(*SENDER_INFO.unpack_from(body, SSRC.size)) if is_sender else None
    return Report(ssrc, sender, [_parse_block(body, start + n * BLOCK.size) for n in range(count)])


def _build_block(block: ReportBlock) -> bytes:
    lost = max(MIN_LOST, min(MAX_LOST, block.lost)) & 0xFFFFFF
    return BLOCK.pack(block.ssrc, block.fraction_lost << 24 | lost, *block[3:])


def _parse_block(body: bytes, at: int) -> ReportBlock:
    ssrc, losses, *rest = BLOCK.unpack_from(body, at)
    lost = (losses & 0xFFFFFF ^ 0x800000) - 0x800000
    return ReportBlock(ssrc, losses >> 24, lost, *rest)


def _header(kind: int, count: int, ssrc: int, body_bytes: int) -> bytes:
    return HEADER.pack(VERSION | count, kind, body_bytes // 4 + 1) + SSRC.pack(ssrc)
