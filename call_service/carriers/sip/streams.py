"""SIP over TCP and TLS: connections made and accepted, each a `Flow`."""

import asyncio
import socket
import ssl
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

from call_service.carriers.sip.flow import Address, Flow
from call_service.carriers.sip.parser import StreamParser
from call_service.carriers.sip.syntax import SipSyntaxError
from call_service.carriers.sip.udp import Receiver

READ_BYTES = 65_536
MAX_UNSENT_BYTES = 1024 * 1024
IDLE_SECONDS = 600.0
FIRST_MESSAGE_SECONDS = 10.0
HANDSHAKE_SECONDS = 5.0


class StreamFlow:
    """One connection. It reads until it is closed; a peer that does not read what we send is cut off."""

    def __init__(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        receiver: Receiver,
        *,
        local: Address,
        peer: Address,
        accepted: bool,
    ) -> None:
        self.transport = "TLS" if writer.get_extra_info("ssl_object") else "TCP"
        self.local = local
        self.peer = peer
        self.is_accepted = accepted
        self._reader = reader
        self._writer = writer
        self._receiver = receiver
        self._is_open = True

    @property
    def is_open(self) -> bool:
        return self._is_open and not self._writer.is_closing()

    def towards(self, peer: Address) -> Flow:  # noqa: ARG002 # a connection has one peer
        return self

    def send(self, data: bytes) -> None:
        if not self.is_open:
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self._writer.transport.abort()

    async def run(self) -> None:
        """Read until the connection ends, by whatever."""
        try:
            with suppress(OSError, SipSyntaxError):
                await self._read()
        finally:
            self._is_open = False
            self._writer.transport.abort()
            self._receiver.lost(self)

    async def _read(self) -> None:
        parser = StreamParser()
        patience = FIRST_MESSAGE_SECONDS if self.is_accepted else IDLE_SECONDS
        while True:
            try:
                async with asyncio.timeout(patience):
                    data = await self._reader.read(READ_BYTES)
            except TimeoutError:
                if self._receiver.needs(self):
                    continue
                return
            if not data:
                return
            messages, is_ping = parser.feed(data)
            if is_ping:
                self.send(b"\r\n")
            for message in messages:
                self._receiver.received(message, self)
            if messages:
                patience = IDLE_SECONDS


async def connect(address: Address, tls: ssl.SSLContext | None, name: str) -> tuple[StreamReader, StreamWriter]:
    """A connection to `address`; with `tls` its certificate is for `name`.

    Raises:
        OSError: refused, unreachable, or a certificate that does not verify (`ssl.SSLError`).
    """
    if tls is None:
        return await asyncio.open_connection(address.host, address.port)
    return await asyncio.open_connection(address.host, address.port, ssl=tls, server_hostname=name)


async def serve(accepted: socket.socket, tls: ssl.SSLContext | None) -> tuple[StreamReader, StreamWriter]:
    """The streams of an accepted connection, with `tls` once the handshake is done.

    Raises:
        OSError: it is gone, or the handshake failed (`ssl.SSLError`) or took too long.
    """
    loop = asyncio.get_running_loop()
    reader = StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    patience = HANDSHAKE_SECONDS if tls else None
    transport, _ = await loop.connect_accepted_socket(
        lambda: protocol, accepted, ssl=tls, ssl_handshake_timeout=patience
    )
    return reader, StreamWriter(transport, protocol, reader, loop)
