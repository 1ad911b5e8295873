"""RTCP on the wire, and the round trip that it tells."""

from itertools import pairwise
from random import Random
from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from call_service.carriers.rtp.control import Control
from call_service.carriers.rtp.inbound import Inbound
from call_service.carriers.rtp.outbound import Outbound
from call_service.carriers.rtp.rtcp import (
    NTP_EPOCH,
    Report,
    ReportBlock,
    SenderInfo,
    build_bye,
    build_description,
    build_report,
    middle,
    ntp_time,
    parse_reports,
)

UNTIMED = settings(deadline=None)  # the machine may be busy
WORD = st.integers(0, 2**32 - 1)
BLOCKS = st.builds(ReportBlock, WORD, st.integers(0, 255), st.integers(-(2**23), 2**23 - 1), WORD, WORD, WORD, WORD)
SENDERS = st.builds(SenderInfo, st.integers(0, 2**64 - 1), WORD, WORD, WORD)
REPORTS = st.builds(Report, WORD, st.none() | SENDERS, st.lists(BLOCKS, max_size=31))


@UNTIMED
@given(st.lists(REPORTS, max_size=4), st.text("abc", max_size=30))
def test_reads_what_it_writes(reports: list[Report], name: str) -> None:
    compound = b"".join(build_report(report) + build_description(report.ssrc, name) for report in reports)
    assert len(compound) % 4 == 0
    assert parse_reports(compound + build_bye(1)) == reports


def test_the_bytes_are_those_of_the_rfc() -> None:
    block = ReportBlock(0x11223344, 64, -2, 0x00010005, 12, 0xAABBCCDD, 65_536)
    report = build_report(Report(0x01020304, SenderInfo(0x83AA7E80_80000000, 160, 2, 320), [block]))
    assert report.hex() == (
        "81c8000c0102030483aa7e8080000000000000a000000002000001401122334440fffffe000100050000000caabbccdd00010000"
    )
    assert build_description(1, "ab").hex() == "81ca0003000000010102616200000000"
    assert build_bye(1).hex() == "81cb000100000001"


def test_losses_beyond_24_bits_are_clamped() -> None:
    huge = ReportBlock(1, 0, 2**30, 0, 0, 0, 0)
    (report,) = parse_reports(build_report(Report(1, None, [huge])))
    assert report.blocks[0].lost == 2**23 - 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x81",
        build_bye(1)[:-1],
        b"\x40" + build_bye(1)[1:],
        pack("!BBH", 0x80, 201, 0),
        pack("!BBHI", 0x81, 201, 1, 1),
        pack("!BBHI", 0x80, 200, 1, 1),
        pack("!BBHI", 0x80, 201, 500, 1),
        build_report(Report(1, None, [])) + b"\0\0\0\0",
        build_report(Report(1, None, [])) + b"\x80\xcb",
    ],
)
def test_refuses_a_malformed_compound(data: bytes) -> None:
    assert parse_reports(data) == []


def test_a_bye_of_nobody_is_no_error() -> None:
    report = Report(1, None, [])
    assert parse_reports(build_report(report) + pack("!BBH", 0x80, 203, 0)) == [report]


@UNTIMED
@given(st.binary(max_size=120))
def test_never_fails_on_noise(data: bytes) -> None:
    assert all(len(report.blocks) <= 31 for report in parse_reports(data))


def test_ntp_counts_from_1900() -> None:
    assert ntp_time(0.5) == NTP_EPOCH << 32 | 1 << 31
    assert middle(0x0001_0002_0003_0004) == 0x0002_0003


def test_the_round_trip_of_the_rfc_example() -> None:
    """RFC 3550 figure 2: 6.125 s between what was sent at 0xb705:2000 and came back at 0xb710:8000."""
    control = Control(Random(1))
    arrival = 0xB44DB710_80000000 / 2**32 - NTP_EPOCH
    block = ReportBlock(7, 0, 3, 0, 80, 0xB705_2000, 0x0005_4000)
    assert control.receive(build_report(Report(9, None, [block])), arrival, 7)
    assert control.round_trip_ms == pytest.approx(6_125, abs=0.1)
    assert (control.remote_lost, control.remote_jitter_ms) == (3, 10)


def test_a_round_trip_below_zero_is_not_believed() -> None:
    control = Control(Random(1))
    block = ReportBlock(7, 0, 0, 0, 0, middle(ntp_time(1_000.0)), 65_536)
    control.receive(build_report(Report(9, None, [block])), 1_000.5, 7)
    assert control.round_trip_ms is None


def test_reports_about_others_are_not_ours() -> None:
    control = Control(Random(1))
    control.receive(build_report(Report(9, None, [ReportBlock(8, 0, 55, 0, 0, 1, 1)])), 1_000.0, 7)
    assert control.remote_lost is None


def test_tells_the_peer_when_its_report_came() -> None:
    control, sent, heard = Control(Random(1)), Outbound(Random(2)), Inbound(lambda _key: None)
    heard.ssrc = 9
    theirs = SenderInfo(ntp_time(5_000.0), 0, 1, 160)
    control.receive(build_report(Report(9, theirs, [])), 1_000.0, sent.ssrc)
    (report,) = parse_reports(control.build(sent, heard, 1_002.5))
    assert report.blocks[0].last_report == middle(theirs.ntp)
    assert report.blocks[0].since_last_report == 2.5 * 65_536


def test_sends_a_sender_report_only_after_sending() -> None:
    control, sent, heard = Control(Random(1)), Outbound(Random(2)), Inbound(lambda _key: None)
    reports = []
    for is_sending in (True, False, True):
        if is_sending:
            sent.next()
        reports += parse_reports(control.build(sent, heard, 1_000.0))
    assert [report.sender and report.sender.packets for report in reports] == [1, None, 2]
    assert reports[0].sender
    assert reports[0].sender.octets == 160


def test_reports_every_five_seconds_on_average_and_never_in_step() -> None:
    control = Control(Random(1))
    due = [frame for frame in range(100_000) if control.is_due()]
    gaps = [b - a for a, b in pairwise(due)]
    assert 100 <= min(gaps) < 120
    assert 290 < max(gaps) <= 308
    assert 190 < sum(gaps) / len(gaps) < 220
