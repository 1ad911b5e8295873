"""A TCP connection that can go dead without a word: nothing is forwarded, nothing is reset."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from yarl import URL


class Wire:
    """Forwards to one address while it is whole."""

    def __init__(self, target: URL) -> None:
        self._target = target
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def swallow(self) -> None:
        """From now on everything that is sent stays on the way; new connections too."""
        self._whole.clear()

    def restore(self) -> None:
        """What was on the way arrives."""
        self._whole.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The address to use instead of the target's."""
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            yield str(self._target.with_host("127.0.0.1").with_port(port))
        finally:
            server.close()
            self._whole.set()
            for writer in self._writers:
                writer.close()
            await server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self._target.host
        self._writers.add(writer)
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_connection(self._target.host, self._target.port)
            self._writers.add(far_writer)
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._whole.wait()
                sink.write(data)
                await sink.drain()
        sink.close()
