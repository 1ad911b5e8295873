"""The messages of a call as a capture file that Wireshark and sngrep open.

Each message is one UDP datagram, also those of TCP and TLS: what counts is who said what when.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import ip_address
from struct import pack

from call_service.signalling.ladder import Address, LadderEntry

MAGIC, VERSION, SNAP_LENGTH = 0xA1B2C3D4, (2, 4), 65_535
# Raw IP of either version (tcpdump.org/linktypes.html).
LINK_TYPE = 101
UDP, TIME_TO_LIVE = 17, 64
UDP_HEADER, IPV4_HEADER = 8, 20
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def capture(entries: Iterable[LadderEntry]) -> bytes:
    """The content of a `.pcap` file. Entries whose ends are of different IP versions are left out."""
    header = pack("!IHHiIII", MAGIC, *VERSION, 0, 0, SNAP_LENGTH, LINK_TYPE)
    return header + b"".join(_record(entry) for entry in entries)


def _record(entry: LadderEntry) -> bytes:
    source, target = (entry.local, entry.peer) if entry.is_sent else (entry.peer, entry.local)
    packet = _packet(source, target, entry.text.replace("\n", "\r\n").encode())
    passed = entry.at - EPOCH
    seconds = passed.days * 86_400 + passed.seconds
    return pack("!IIII", seconds, passed.microseconds, len(packet), len(packet)) + packet if packet else b""


def _packet(source: Address, target: Address, payload: bytes) -> bytes:
    """IP and UDP headers before `payload`; checksums are left zero."""
    ends = ip_address(source[0]), ip_address(target[0])
    if ends[0].version != ends[1].version:
        return b""
    datagram = pack("!HHHH", source[1], target[1], UDP_HEADER + len(payload), 0) + payload
    addresses = ends[0].packed + ends[1].packed
    if ends[0].version == 6:
        return pack("!IHBB", 6 << 28, len(datagram), UDP, TIME_TO_LIVE) + addresses + datagram
    size = IPV4_HEADER + len(datagram)
    return pack("!BBHHHBBH", 0x45, 0, size, 0, 0, TIME_TO_LIVE, UDP, 0) + addresses + datagram
