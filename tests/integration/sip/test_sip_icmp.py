"""What the kernel's ICMP errors do to a UDP socket of ours; the errors are real ones of the loopback."""

import socket

import pytest

from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.udp import UdpSocket
from shared.testing.waiting import eventually
from tests.support.sip_peers import free_port


class Told:
    """Who listens to the socket."""

    def __init__(self) -> None:
        self.lost_peers: list[Address] = []
        self.messages: list[bytes] = []

    def received(self, data: bytes, flow: Flow) -> None:
        self.messages.append(data)

    def lost(self, flow: Flow) -> None:
        self.lost_peers.append(flow.peer)

    def needs(self, flow: Flow) -> bool:
        raise AssertionError("nothing closes a UDP socket for its silence")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_closed_port_is_told_and_a_packet_too_large_is_not(host: str) -> None:
    told = Told()
    udp = UdpSocket(Address(host, 0), host, told)
    closed = Address(host, free_port())
    with socket.socket(udp.family, socket.SOCK_DGRAM) as peer:
        peer.bind((host, 0))
        there = Address(*peer.getsockname()[:2])
        try:
            udp.send(bytes(70_000), there)  # for IPv6 the kernel queues EMSGSIZE, as for ICMP "packet too big"
            udp.send(b"x", closed)

            async def is_told() -> bool:
                return closed in told.lost_peers

            await eventually(is_told)
            assert told.lost_peers == [closed]
            peer.sendto(b"still there", (host, udp.advertised.port))

            async def has_come() -> bool:
                return told.messages == [b"still there"]

            await eventually(has_come)
        finally:
            udp.close()
