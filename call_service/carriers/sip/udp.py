"""SIP over UDP: raw non-blocking sockets, drained per wake-up; ICMP errors tell which peer is not there."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from struct import Struct
from typing import Protocol

from call_service.carriers.sip.flow import Address, Flow

MAX_DATAGRAM = 65_535
MAX_DRAIN = 64
RECEIVE_BUFFER = 4 * 1024 * 1024
# Linux, <linux/in.h> and <linux/in6.h>; Python has no names for them.
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_ERROR_KINDS = {(socket.IPPROTO_IP, _IP_RECVERR), (socket.IPPROTO_IPV6, _IPV6_RECVERR)}
# `ee_errno`, the first of `struct sock_extended_err` in <linux/errqueue.h>.
_ERROR_NUMBER = Struct("=I")


class Receiver(Protocol):
    """Who hears of what comes in."""

    def received(self, data: bytes, flow: Flow) -> None:
        """One message came, not yet parsed."""

    def lost(self, flow: Flow) -> None:
        """Nothing can be sent over this flow any more, or nobody listens at its other end."""

    def needs(self, flow: Flow) -> bool:
        """Whether a call lives on this flow: then it stays, however long nothing comes."""


@dataclass(frozen=True, slots=True)
class UdpFlow:
    """A `Flow` to one peer of a UDP socket."""

    socket: "UdpSocket"
    peer: Address

    @property
    def transport(self) -> str:
        return "UDP"

    @property
    def local(self) -> Address:
        return self.socket.advertised

    @property
    def is_open(self) -> bool:
        return self.socket.is_open

    def towards(self, peer: Address) -> Flow:
        return replace(self, peer=peer)

    def send(self, data: bytes) -> None:
        self.socket.send(data, self.peer)


class UdpSocket:
    """One bound socket. `advertised` is what peers are told to answer to."""

    def __init__(self, bind: Address, advertised_host: str, receiver: Receiver) -> None:
        family = socket.AF_INET6 if ":" in bind.host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            self._ask_for_errors(family)
            self._socket.bind(bind)
        except OSError:
            self._socket.close()
            raise
        self.family = family
        self.is_open = True
        self.advertised = Address(advertised_host, self._socket.getsockname()[1])
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._drain)

    def send(self, data: bytes, peer: Address) -> None:
        """Once more when the first attempt only reports an older packet's ICMP error; else lost like any packet."""
        for _ in range(2):
            try:
                self._socket.sendto(data, peer)
            except BlockingIOError:
                return
            except OSError:
                continue
            return

    def close(self) -> None:
        """Free the port. Harmless when closed."""
        if not self.is_open:
            return
        self.is_open = False
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _ask_for_errors(self, family: int) -> None:
        with contextlib.suppress(OSError):  # an optimisation that only Linux has: elsewhere time-outs tell
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
            else:
                self._socket.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)

    def _drain(self) -> None:
        receive: Callable[[int], tuple[bytes, tuple[str, int]]] = self._socket.recvfrom
        for _ in range(MAX_DRAIN):
            if not self.is_open:
                return
            try:
                data, source = receive(MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                continue
            self._receiver.received(data, UdpFlow(self, Address(source[0].partition("%")[0], source[1])))
        self._drain_errors()

    def _drain_errors(self) -> None:
        flag = getattr(socket, "MSG_ERRQUEUE", None)
        if flag is None:
            return
        for _ in range(MAX_DRAIN):
            try:
                _, ancillary, _, source = self._socket.recvmsg(0, 512, flag)
            except OSError:
                return
            if source and is_refusal(ancillary):
                self._receiver.lost(UdpFlow(self, Address(source[0], source[1])))


def is_refusal(ancillary: Iterable[tuple[int, int, bytes]]) -> bool:
    """Whether an error of the queue (ip(7), IP_RECVERR) says that nobody listens at the port.

    Others, like a smaller path MTU or a host that is unreachable for now, may be over at the next repeat.
    """
    return any(
        (level, kind) in _ERROR_KINDS
        and len(data) >= _ERROR_NUMBER.size
        and _ERROR_NUMBER.unpack_from(data)[0] == errno.ECONNREFUSED
        for level, kind, data in ancillary
    )
