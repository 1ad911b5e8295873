"""SIP peers that nobody of ours wrote, as child processes on loopback, and a network between them that misbehaves."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deploy.local import system

SCENARIOS = Path(__file__).parents[1] / "integration" / "sip" / "scenarios"
LOOPBACK = "127.0.0.1"

Address = tuple[str, int]


def free_port(row: int = 1) -> int:
    """The first of `row` ports that are free for UDP and TCP, and that no outgoing connection takes meanwhile."""
    while True:
        port = system.free_port()
        if all(_is_free(each) for each in range(port, port + row)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return system.is_free(port)


def free_media_port() -> int:
    """An even port whose successors are free too: sipp takes four."""
    port = free_port(row=5)
    return port + port % 2


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for `condition`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - peers are processes: they set no event
            await asyncio.sleep(0.01)


class Peer:
    """A child process; its output goes to `log`."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def say(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{line}\n".encode())

    async def ends(self, seconds: float = 20.0) -> int:
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def prints(self, text: str, seconds: float = 10.0) -> None:
        await until(lambda: text in self.output, seconds)


@asynccontextmanager
async def running(arguments: list[str], log: Path, cwd: Path | None = None) -> AsyncIterator[Peer]:
    """A peer for the length of the block; where it is not installed the test is skipped."""
    if shutil.which(arguments[0]) is None:
        pytest.skip(f"{arguments[0]} is not installed")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env={**os.environ, "TERM": "dumb", "HOME": str(log.parent)},
            start_new_session=True,
        )
    try:
        yield Peer(process, log)
    finally:
        if process.returncode is None:
            # It may be gone already, and asyncio not have heard of it yet.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.stdin:
            process.stdin.close()
        await asyncio.sleep(0)


class Sipp:
    """Runs sipp scenarios. A scenario that goes another way than written fails with sipp's own words."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    @asynccontextmanager
    async def run(
        self,
        scenario: str,
        port: int,
        *arguments: str,
        remote: Address | None = None,
        calls: int = 1,
        seconds: int = 30,
        **words: str,
    ) -> AsyncIterator[Peer]:
        """`scenario` on `port` for the block; all `calls` must end as it says. `words` fill its `{{gaps}}`."""
        self._count += 1
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        for gap, word in words.items():
            text = text.replace(f"{{{{{gap}}}}}", word)
        script = self._folder / f"{scenario}-{self._count}.xml"
        script.write_text(text)
        errors = self._folder / f"{scenario}-{self._count}.errors"
        messages = self._folder / f"{scenario}-{self._count}.messages"
        command = ["sipp", "-sf", str(script), "-i", LOOPBACK, "-p", str(port)]
        command += ["-m", str(calls), "-nostdin", "-timeout", str(seconds), "-timeout_error"]
        command += ["-mi", LOOPBACK, "-mp", str(free_media_port()), "-trace_err", "-error_file", str(errors)]
        command += ["-trace_msg", "-message_file", str(messages), *arguments]
        if remote:
            command.append(f"{remote[0]}:{remote[1]}")
        async with running(command, self._folder / f"{scenario}-{self._count}.log", self._folder) as peer:
            if not remote:
                await listens(port, peer, "tcp" if "t1" in arguments else "udp")
            try:
                yield peer
                code = await peer.ends(seconds + 5)
                assert code == 0, f"sipp ended with {code}"
            except BaseException as error:
                error.add_note(_tail(errors, 3_000) + _tail(messages, 8_000) + _tail(peer.log, 1_000))
                raise


def _tail(file: Path, characters: int) -> str:
    return file.read_text(errors="replace")[-characters:] if file.exists() else ""


async def listens(port: int, peer: Peer, kind: str = "udp", seconds: float = 15.0) -> None:
    """Wait until a socket of `kind` ("udp" or "tcp") is bound to `port` of loopback or of all addresses."""
    wanted = re.compile(rf"^ *\d+: (?:0100007F|00000000):{port:04X} ", re.MULTILINE)
    table = Path(f"/proc/net/{kind}")
    await until(lambda: wanted.search(table.read_text()) or peer.process.returncode is not None, seconds)
    assert peer.process.returncode is None, f"it ended before it listened: {peer.output[-1000:]}"


@asynccontextmanager
async def relay(peer: Address, judge: Callable[[bytes], int]) -> AsyncIterator[Address]:
    """An address on UDP that leads to `peer`. `judge` says how often each packet is delivered: 0, 1 or more times."""
    loop = asyncio.get_running_loop()
    other: Address | None = None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as between:
        between.setblocking(False)
        between.bind((LOOPBACK, 0))

        def pass_on() -> None:
            nonlocal other
            data, source = between.recvfrom(65_535)
            if source != peer:
                other = source
            to = other if source == peer else peer
            for _ in range(judge(data) if to else 0):
                between.sendto(data, to or peer)

        loop.add_reader(between, pass_on)
        try:
            yield between.getsockname()
        finally:
            loop.remove_reader(between)


def dropping(method: bytes, times: int) -> Callable[[bytes], int]:
    """Loses the first `times` requests of `method`."""
    left = times

    def judge(data: bytes) -> int:
        nonlocal left
        if left and data.startswith(method):
            left -= 1
            return 0
        return 1

    return judge
