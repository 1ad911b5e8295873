"""RTCP of one session: our reports every few seconds, and what the peer reports about us."""

from random import Random

from call_service.carriers.port import FRAME_MS, SAMPLE_RATE
from call_service.carriers.rtp.inbound import Inbound
from call_service.carriers.rtp.outbound import Outbound
from call_service.carriers.rtp.reception import Reception
from call_service.carriers.rtp.rtcp import (
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

INTERVAL_FRAMES = 5_000 // FRAME_MS
# RFC 3550 section 6.3.1: what undoes the bias of its timer.
COMPENSATION = 2.718281828 - 1.5
NAME_BITS = 96


class Control:
    """Writes and reads the compound packets of one session. Times are Unix seconds."""

    def __init__(self, random: Random) -> None:
        self.round_trip_ms: float | None = None
        self.remote_lost: int | None = None
        self.remote_jitter_ms: float | None = None
        self._random = random
        self._name = f"{random.getrandbits(NAME_BITS):024x}"
        self._frames_to_report = self._interval() // 2
        self._packets_reported = 0
        self._last_report = 0
        self._last_report_arrival = 0.0

    def is_due(self) -> bool:
        """20 ms passed: is it time for a report?"""
        self._frames_to_report -= 1
        if self._frames_to_report > 0:
            return False
        self._frames_to_report = self._interval()
        return True

    def build(self, sent: Outbound, heard: Inbound, now: float) -> bytes:
        """A report with the canonical name; a sender report when something was sent since the last one."""
        sender = None
        if sent.packets != self._packets_reported:
            self._packets_reported = sent.packets
            sender = SenderInfo(ntp_time(now), sent.timestamp, sent.packets & 0xFFFFFFFF, sent.octets & 0xFFFFFFFF)
        blocks = [] if heard.ssrc is None else [self._block(heard.reception, heard.ssrc, now)]
        return build_report(Report(sent.ssrc, sender, blocks)) + build_description(sent.ssrc, self._name)

    def build_farewell(self, sent: Outbound, heard: Inbound, now: float) -> bytes:
        """The last report, with BYE."""
        return self.build(sent, heard, now) + build_bye(sent.ssrc)

    def receive(self, data: bytes, arrival: float, our_ssrc: int) -> bool:
        """Take in a compound packet, decrypted; False when it is none."""
        reports = parse_reports(data)
        for report in reports:
            if report.sender is not None:
                self._last_report = middle(report.sender.ntp)
                self._last_report_arrival = arrival
            for block in report.blocks:
                if block.ssrc == our_ssrc:
                    self._learn(block, arrival)
        return bool(reports)

    def _interval(self) -> int:
        return int(INTERVAL_FRAMES * self._random.uniform(0.5, 1.5) / COMPENSATION)

    def _block(self, heard: Reception, ssrc: int, now: float) -> ReportBlock:
        since = max(0, int((now - self._last_report_arrival) * 65_536)) & 0xFFFFFFFF if self._last_report else 0
        return ReportBlock(
            ssrc, heard.fraction_lost(), heard.lost, heard.highest, heard.jitter, self._last_report, since
        )

    def _learn(self, block: ReportBlock, arrival: float) -> None:
        self.remote_lost = block.lost
        self.remote_jitter_ms = block.jitter * 1000 / SAMPLE_RATE
        if block.last_report:
            trip = (middle(ntp_time(arrival)) - block.last_report - block.since_last_report) & 0xFFFFFFFF
            # A peer whose clock steps can make it negative.
            if trip < 1 << 31:
                self.round_trip_ms = trip * 1000 / 65_536
