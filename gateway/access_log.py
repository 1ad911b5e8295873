"""One JSON line for each request: the route's pattern, never the path, because paths hold phone numbers."""

import asyncio
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson

from shared.clock import rfc3339

_FLUSH_SECONDS = 0.2
_MAX_BUFFERED = 200


class AccessLog:
    """Lines are written in batches: a system call for each request would cost more than the rest of the line."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lines: list[bytes] = []
        self._flush: asyncio.TimerHandle | None = None

    def write(self, **fields: Any) -> None:
        line = {"timestamp": rfc3339(datetime.now(UTC)), "level": "info", "service": "gateway", "message": "request"}
        self._lines.append(orjson.dumps(line | fields, option=orjson.OPT_APPEND_NEWLINE))
        if len(self._lines) >= _MAX_BUFFERED:
            self.flush()
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Write what is buffered."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        lines, self._lines = self._lines, []
        self._stream.write(b"".join(lines))
        self._stream.flush()
