"""All sockets of a user agent."""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address

import structlog

from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.resolver import Target
from call_service.carriers.sip.streams import StreamFlow, connect, serve
from call_service.carriers.sip.udp import Receiver, UdpFlow, UdpSocket

log = structlog.get_logger()

CONNECT_SECONDS = 5.0
MAX_ACCEPTED = 1_000
MAX_ACCEPTED_OF_HOST = 100
ACCEPT_AGAIN_SECONDS = 1.0


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
        self._servers: dict[socket.socket, tuple[str, Address]] = {}
        self._connections: dict[Target, asyncio.Task[StreamFlow]] = {}
        self._readers: set[asyncio.Task[None]] = set()
        self._accepted: Counter[str] = Counter()

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
                self._listen(listener, host)

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
        except (OSError, TimeoutError, ValueError) as error:  # the last: a name that can't be one of a certificate
            raise TransportError(_describe(error)) from error

    async def close(self) -> None:
        """Close every socket."""
        tasks = (*self._readers, *self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        for udp in self._udp:
            udp.close()

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
        self._keep(flow.run(), lambda: self._disconnected(target))
        return flow

    def _disconnected(self, target: Target) -> None:
        known = self._connections.get(target)
        if known and known.done() and not _is_usable(known):
            del self._connections[target]

    def _listen(self, listener: Listener, advertised_host: str) -> None:
        tls = self._server_tls if listener.transport == "TLS" else None
        if listener.transport == "TLS" and tls is None:
            raise TransportError("a TLS listener needs a certificate")
        family = socket.AF_INET6 if ":" in listener.host else socket.AF_INET
        server = socket.create_server((listener.host, listener.port), family=family)
        server.setblocking(False)
        local = Address(advertised_host, server.getsockname()[1])
        self._servers[server] = (listener.transport, local)
        self._keep(self._accept(server, local, tls), lambda: None)

    async def _accept(self, server: socket.socket, local: Address, tls: ssl.SSLContext | None) -> None:
        """Strangers are closed before the handshake of TLS: it costs, and would show our certificate."""
        while True:
            try:
                accepted, source = await asyncio.get_running_loop().sock_accept(server)
            except OSError as error:
                log.warning("sip.accept_failed", cause=repr(error))
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            peer = Address(source[0], source[1])
            if self._is_crowded(peer.host) or not self._may_connect(peer.host):
                accepted.close()
                continue
            self._accepted[peer.host] += 1
            self._keep(self._serve(accepted, local, peer, tls), partial(self._forget_accepted, peer.host))

    async def _serve(self, accepted: socket.socket, local: Address, peer: Address, tls: ssl.SSLContext | None) -> None:
        try:
            reader, writer = await serve(accepted, tls)
        except OSError:
            return
        await StreamFlow(reader, writer, self._receiver, local=local, peer=peer, accepted=True).run()

    def _is_crowded(self, host: str) -> bool:
        return self._accepted.total() >= MAX_ACCEPTED or self._accepted[host] >= MAX_ACCEPTED_OF_HOST

    def _forget_accepted(self, host: str) -> None:
        self._accepted[host] -= 1
        if not self._accepted[host]:
            del self._accepted[host]

    def _keep(self, reading: Coroutine[object, object, None], on_end: Callable[[], None]) -> None:
        task = asyncio.create_task(reading, name="sip-connection")
        self._readers.add(task)
        task.add_done_callback(self._readers.discard)
        task.add_done_callback(lambda _done: on_end())


def _is_usable(task: "asyncio.Task[StreamFlow]") -> bool:
    return not task.cancelled() and task.exception() is None and task.result().is_open


def _describe(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate does not verify: {error.verify_message}"
    return type(error).__name__
