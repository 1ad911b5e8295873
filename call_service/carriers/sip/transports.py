"""All sockets of a user agent."""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.resolver import Target
from call_service.carriers.sip.streams import StreamFlow, connect
from call_service.carriers.sip.udp import Receiver, UdpFlow, UdpSocket

CONNECT_SECONDS = 5.0
MAX_ACCEPTED = 1_000


class TransportError(Exception):
    """No way to that peer: refused, unreachable, not verified, or no socket of its kind."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket to open. `transport` is "UDP", "TCP" or "TLS"; port 0 takes a free one.

    `host` is an IP address. `advertised` is the one peers are told when it differs: behind NAT, or on all interfaces.
    """

    transport: str
    host: str
    port: int = 5060
    advertised: str | None = None

    def __post_init__(self) -> None:
        """Peers cannot answer to "all interfaces"."""
        if self.advertised is None and ip_address(self.host).is_unspecified:
            raise ValueError("a listener on all interfaces needs an advertised address")


class Transports:
    """Opens listeners and connections. `client_tls` gives the context for a name, `server_tls` our certificate.

    `may_connect` tells whether an address may connect to us at all; scanners find a port that closes at once.
    """

    def __init__(
        self,
        receiver: Receiver,
        *,
        client_tls: Callable[[str], ssl.SSLContext],
        server_tls: ssl.SSLContext | None = None,
        may_connect: Callable[[str], bool] = lambda _host: True,
    ) -> None:
        self._receiver = receiver
        self._client_tls = client_tls
        self._server_tls = server_tls
        self._may_connect = may_connect
        self._udp: list[UdpSocket] = []
        self._servers: dict[asyncio.Server, tuple[str, Address]] = {}
        self._connections: dict[Target, asyncio.Task[StreamFlow]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._accepted = 0

    async def open(self, listeners: tuple[Listener, ...]) -> None:
        """Open them all.

        Raises:
            OSError: a port is taken, an address not ours.
        """
        for listener in listeners:
            host = listener.advertised or listener.host
            if listener.transport == "UDP":
                self._udp.append(UdpSocket(Address(listener.host, listener.port), host, self._receiver))
            else:
                await self._listen(listener, host)

    def local(self, transport: str, *, ipv6: bool = False) -> Address | None:
        """The advertised address of the listener for `transport`."""
        for udp in self._udp if transport == "UDP" else ():
            if (udp.family == socket.AF_INET6) == ipv6:
                return udp.advertised
        for kind, address in self._servers.values():
            if kind == transport and (":" in address.host) == ipv6:
                return address
        return None

    async def flow(self, target: Target) -> Flow:
        """A way to `target`: one connection serves all messages to it.

        Raises:
            TransportError: there is none.
        """
        is_ipv6 = ":" in target.address.host
        if target.transport == "UDP":
            for udp in self._udp:
                if (udp.family == socket.AF_INET6) == is_ipv6:
                    return UdpFlow(udp, target.address)
            raise TransportError("no UDP socket for this kind of address")
        try:
            return await asyncio.shield(self._connection(target))
        except (OSError, TimeoutError) as error:
            raise TransportError(_describe(error)) from error

    async def close(self) -> None:
        """Close every socket."""
        for server in self._servers:
            server.close()
        for udp in self._udp:
            udp.close()
        tasks = (*self._readers, *self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _connection(self, target: Target) -> "asyncio.Task[StreamFlow]":
        known = self._connections.get(target)
        if known is None or (known.done() and not _is_usable(known)):
            known = self._connections[target] = asyncio.create_task(self._connect(target))
            known.add_done_callback(lambda _done: self._disconnected(target))
        return known

    async def _connect(self, target: Target) -> StreamFlow:
        context = self._client_tls(target.name) if target.transport == "TLS" else None
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await connect(target.address, context, target.name)
        own = writer.get_extra_info("sockname")
        local = self.local(target.transport, ipv6=":" in own[0]) or Address(own[0], own[1])
        flow = StreamFlow(reader, writer, self._receiver, local=local, peer=target.address, accepted=False)
        self._read(flow, lambda: self._disconnected(target))
        return flow

    def _disconnected(self, target: Target) -> None:
        known = self._connections.get(target)
        if known and known.done() and not _is_usable(known):
            del self._connections[target]

    async def _listen(self, listener: Listener, advertised_host: str) -> None:
        tls = self._server_tls if listener.transport == "TLS" else None
        if listener.transport == "TLS" and tls is None:
            raise TransportError("a TLS listener needs a certificate")

        def accept(reader: StreamReader, writer: StreamWriter) -> None:
            self._accept(reader, writer, advertised)

        server = await asyncio.start_server(accept, listener.host, listener.port, ssl=tls)
        advertised = Address(advertised_host, server.sockets[0].getsockname()[1])
        self._servers[server] = (listener.transport, advertised)

    def _accept(self, reader: StreamReader, writer: StreamWriter, local: Address) -> None:
        source = writer.get_extra_info("peername")  # None when it is gone again already
        if not source or self._accepted >= MAX_ACCEPTED or not self._may_connect(source[0]):
            writer.transport.abort()
            return
        self._accepted += 1
        peer = Address(source[0], source[1])
        flow = StreamFlow(reader, writer, self._receiver, local=local, peer=peer, accepted=True)
        self._read(flow, self._forget_accepted)

    def _forget_accepted(self) -> None:
        self._accepted -= 1

    def _read(self, flow: StreamFlow, on_end: Callable[[], None]) -> None:
        task = asyncio.create_task(flow.run(), name="sip-connection")
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        task.add_done_callback(lambda _done: on_end())


def _is_usable(task: "asyncio.Task[StreamFlow]") -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_open


def _describe(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate does not verify: {error.verify_message}"
    return type(error).__name__
