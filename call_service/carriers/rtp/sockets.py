"""Pairs of UDP ports: an even one for RTP, the next for RTCP (RFC 3550 section 11)."""

import errno
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from struct import Struct
from typing import Protocol

from call_service.carriers.rtp.packet import MAX_DATAGRAM
from call_service.carriers.rtp.source import Address

# Linux stamps a datagram when it arrives; the socket module has no name for the option.
SO_TIMESTAMPNS = 35
TIMESPEC = Struct("@qq")
ANCILLARY_BYTES = 64
EXPEDITED_FORWARDING = 46 << 2


class PortsExhaustedError(Exception):
    """Every port of the range is in use."""


class DatagramSocket(Protocol):
    """What a session needs of a socket. Neither method blocks or raises."""

    def receive(self) -> tuple[bytes, Address, float] | None:
        """The next datagram, its sender, and when it arrived (Unix seconds)."""

    def send(self, packet: bytes | bytearray, address: Address) -> None:
        """Hand to the network; lost when it does not take it."""

    def close(self) -> None:
        """Free the port."""


class UdpSocket:
    """A bound non-blocking `DatagramSocket`; drained at ticks, so the event loop does not watch it."""

    def __init__(self, address: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if sys.platform == "linux":
                self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            self._mark_as_voice(family)
            self._socket.bind((address, port))
        except OSError:
            self._socket.close()
            raise

    def receive(self) -> tuple[bytes, Address, float] | None:
        try:
            data, ancillary, _, sender = self._socket.recvmsg(MAX_DATAGRAM, ANCILLARY_BYTES)
        except OSError:
            return None
        if not ancillary:
            return data, sender[:2], time.time()
        seconds, nanoseconds = TIMESPEC.unpack_from(ancillary[0][2])
        return data, sender[:2], seconds + nanoseconds * 1e-9

    def send(self, packet: bytes | bytearray, address: Address) -> None:
        with suppress(OSError):  # no route, no buffer: media that is lost is noticed at the other side
            self._socket.sendto(packet, address)

    def close(self) -> None:
        self._socket.close()

    def _mark_as_voice(self, family: int) -> None:
        level, option = (
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS)
            if family == socket.AF_INET6
            else (socket.IPPROTO_IP, socket.IP_TOS)
        )
        with suppress(OSError):  # not every system lets a process do it; calls work without
            self._socket.setsockopt(level, option, EXPEDITED_FORWARDING)


class PortPool:
    """The pairs of a range. The one that was freed longest ago is taken first: late packets must not hit a new call."""

    def __init__(self, address: str, ports: range) -> None:
        self._address = address
        self._free = deque(range(ports.start + ports.start % 2, ports.stop - 1, 2))

    @property
    def free(self) -> int:
        """How many pairs are left."""
        return len(self._free)

    def bind(self) -> tuple[int, UdpSocket, UdpSocket]:
        """The RTP port and the sockets of a pair; pairs that another program holds are passed over.

        Raises:
            PortsExhaustedError: no pair is free.
            OSError: the address can't be bound.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            try:
                return port, *self._bind(port)
            except OSError as error:
                self._free.append(port)
                if error.errno != errno.EADDRINUSE:
                    raise
        raise PortsExhaustedError

    def release(self, port: int) -> None:
        """Give a pair back whose sockets are closed."""
        self._free.append(port)

    def _bind(self, port: int) -> tuple[UdpSocket, UdpSocket]:
        rtp = UdpSocket(self._address, port)
        try:
            return rtp, UdpSocket(self._address, port + 1)
        except OSError:
            rtp.close()
            raise
