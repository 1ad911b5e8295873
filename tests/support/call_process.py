"""The API of call_service as a process of its own, and its memory."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from tests.support.calls import SECRET

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Process:
    """A running process and where it listens."""

    url: str
    pid: int

    def rss_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    @asynccontextmanager
    async def peak_rss(self) -> AsyncIterator[list[int]]:
        """A list that holds the largest memory seen so far, sampled 50 times a second until the block ends."""
        peak = [self.rss_bytes()]

        async def sample() -> None:
            while True:
                peak[0] = max(peak[0], self.rss_bytes())
                await asyncio.sleep(0.02)

        sampling = asyncio.create_task(sample())
        try:
            yield peak
        finally:
            sampling.cancel()


@asynccontextmanager
async def call_api(database_url: str, project_url: str, folder: Path) -> AsyncIterator[Process]:
    """A migrated database's API; it has ended after the block."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {
        "DATABASE_URL": database_url,
        "PROJECT_URL": project_url,
        "INTERNAL_TOKEN_SECRET": SECRET,
        "ENCRYPTION_KEY": SECRET,
        "RECORDINGS_DIR": str(folder / "recordings"),
        "PORT": str(port),
        "DRAIN_SECONDS": "1",
        "LOG_LEVEL": "error",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "call_service", "api", cwd=ROOT, env={**os.environ, **environment, "AMQP_URL": ""}
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await _until_ready(url)
        yield Process(url, process.pid)
    finally:
        process.terminate()
        await process.wait()


async def _until_ready(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            with suppress(aiohttp.ClientError):
                async with session.get(f"{url}/health/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.05)
