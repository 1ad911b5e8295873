"""The telephones that are compared: each a program of its own, loaded and measured from outside."""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import psutil

from deploy.local.system import ROOT

START_SECONDS = 20.0
Mode = Literal["answer", "talk", "dial"]


@dataclass(frozen=True)
class Phone:
    """A telephone: its name, its module beside the packages it needs, and what it can take at all.

    `most_calls` are measured at once, `calls_per_second` is the pace that calls are set up with.
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()
    most_calls: int = 400
    calls_per_second: int = 250

    @property
    def is_installed(self) -> bool:
        """Whether its packages can be imported here."""
        return all(importlib.util.find_spec(package) for package in self.needs)


OURS = Phone("ours", "tests.bench.peers.our_phone")
PEERS = (
    Phone("aiosipua + aiortp", "tests.bench.peers.aiosipua_phone", ("aiosipua", "aiortp"), most_calls=200),
    # It loses events of its own beyond ten calls a second, and calls beyond a hundred and fifty at once.
    Phone("baresip-python", "tests.bench.peers.baresip_phone", ("baresip",), most_calls=100, calls_per_second=10),
)


def phones() -> list[Phone]:
    """Ours, and those of the others that are installed."""
    return [OURS, *(phone for phone in PEERS if phone.is_installed)]


def missing() -> list[str]:
    """A note for each that is not."""
    packages = {"aiosipua + aiortp": "aiosipua aiortp", "baresip-python": "--pre baresip-python"}
    return [f"Without {one.name}: `pip install {packages[one.name]}`." for one in PEERS if not one.is_installed]


class Running:
    """A started telephone."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.port = port
        self._process = process
        self._system = psutil.Process(process.pid)

    def cpu_seconds(self) -> float:
        """What all of its threads have used so far."""
        times = self._system.cpu_times()
        return float(times.user + times.system)

    def rss_mb(self) -> float:
        """Its memory."""
        return float(self._system.memory_info().rss) / 2**20

    async def ask(self, limit_seconds: float = 30.0) -> dict[str, Any]:
        """Send it a line, and read its answer."""
        assert self._process.stdin
        self._process.stdin.write(b"\n")
        return await read_line(self._process, limit_seconds)


async def read_line(process: asyncio.subprocess.Process, limit_seconds: float) -> dict[str, Any]:
    """One line of JSON that a program prints.

    Raises:
        TimeoutError: it prints none in time.
        RuntimeError: it ended.
    """
    assert process.stdout
    async with asyncio.timeout(limit_seconds):
        line = await process.stdout.readline()
    if not line:
        raise RuntimeError(f"a telephone ended with status {await process.wait()}")
    found: dict[str, Any] = orjson.loads(line)
    return found


@asynccontextmanager
async def running(phone: Phone, mode: Mode, other_port: int, *options: int) -> AsyncIterator[Running]:
    """A telephone in `mode`, ready; its other end is at `other_port`. Ended after the block."""
    command = (sys.executable, "-m", phone.module, mode, str(other_port), *map(str, options))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
    try:
        yield Running(process, (await read_line(process, START_SECONDS))["port"])
    finally:
        if process.returncode is None:
            process.kill()  # its calls are over, or will never be
        await process.wait()
