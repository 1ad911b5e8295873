"""A customer's server for benchmarks: notes when each webhook came, and answers at once, or never below `/dead`."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import orjson

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Sink:
    """`came` has for each event (call and type) when it happened and when its first attempt came, in Unix seconds."""

    def __init__(self) -> None:
        self.url = ""
        self.came: dict[tuple[str, str], tuple[float, float]] = {}
        self.hanging = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Sink"]:
        """Listen on a free port of loopback."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                [length] = _LENGTH.findall(head)
                body = await reader.readexactly(int(length))
                if head.startswith(b"POST /dead"):
                    self.hanging += 1
                    await reader.read()  # until the other side gives up
                    return
                self._note(time.time(), orjson.loads(body))
                writer.write(_OK)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _note(self, at: float, message: dict[str, object]) -> None:
        data = message["data"]
        assert isinstance(data, dict)
        happened = datetime.fromisoformat(str(message["timestamp"])).timestamp()
        self.came.setdefault((data["call_id"], str(message["type"])), (happened, at))
