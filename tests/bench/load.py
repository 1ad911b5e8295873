"""The load generator: a process of its own, so that it shares neither the event loop nor the CPU time of who measures.

`generate` starts it; it reads a `Load` from its input and writes a `Measured` to its output, as JSON.
"""

import asyncio
import sys
import time
from collections.abc import Mapping

import orjson
import uvloop
from pydantic import BaseModel

PATIENCE_SECONDS = 60


class Load(BaseModel, frozen=True):
    """One request, sent over `connections` until `seconds` have passed; `per_second` makes it a steady rate."""

    port: int
    request: bytes
    seconds: float
    connections: int = 16
    per_second: float | None = None


class Measured(BaseModel, frozen=True):
    """How long each answer took, in milliseconds, and how long all of it took."""

    latencies_ms: list[float]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answers a second."""
        return len(self.latencies_ms) / self.seconds


def http_request(method: str, path: str, headers: Mapping[str, str], body: object = None) -> bytes:
    """A request of HTTP/1.1 as it goes over the wire, with a JSON body if there is one."""
    content = b"" if body is None else orjson.dumps(body)
    lines = {"Host": "bench", "User-Agent": "bench", "Accept": "*/*", **headers}
    if content:
        lines |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
    head = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items()), "", ""]
    return "\r\n".join(head).encode() + content


async def generate(load: Load) -> Measured:
    """Run the load in a new process.

    Raises:
        RuntimeError: an answer was not a success, or the process failed; with its last words.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.bench.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(load.seconds + PATIENCE_SECONDS):
            out, errors = await process.communicate(load.model_dump_json().encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"The load generator failed: {errors.decode()[-2000:]}")
    return Measured.model_validate_json(out)


class _Client:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._request = request

    @classmethod
    async def connect(cls, load: Load) -> "_Client":
        return cls(*await asyncio.open_connection("127.0.0.1", load.port), load.request)

    async def ask(self) -> float:
        """Send the request and read the whole answer; the milliseconds that took."""
        began = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{head.decode()}{body.decode()}")
        return (time.perf_counter() - began) * 1000

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def _run(load: Load) -> Measured:
    clients = [await _Client.connect(load) for _ in range(load.connections)]
    pause = load.connections / load.per_second if load.per_second else 0.0
    latencies: list[float] = []
    began = time.perf_counter()

    async def keep_asking(number: int, client: _Client) -> None:
        due = began + pause * number / load.connections
        while max(due, time.perf_counter()) < began + load.seconds:
            if pause:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            latencies.append(await client.ask())
            due += pause

    await asyncio.gather(*(keep_asking(number, client) for number, client in enumerate(clients)))
    seconds = time.perf_counter() - began
    for client in clients:
        await client.close()
    return Measured(latencies_ms=latencies, seconds=seconds)


if __name__ == "__main__":
    print(uvloop.run(_run(Load.model_validate_json(sys.stdin.buffer.read()))).model_dump_json())
