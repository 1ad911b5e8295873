"""Pipecat in an environment of its own below `var`, which is made when it is first needed."""

import asyncio
import fcntl
import os
import sys
import sysconfig
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.system import ROOT

VERSION = "1.14.0"
REQUIREMENTS = (f"pipecat-ai[websocket]=={VERSION}", "uvicorn>=0.54,<1")
ENVIRONMENT = ROOT / "var" / "bench" / "pipecat"
# Half a gigabyte; 20 s from a cache.
INSTALL_SECONDS = 420.0


class NoPipecatError(Exception):
    """Pipecat can't be installed: no index has it, or gives it in time."""


async def output_of(command: Sequence[str], limit_seconds: float) -> bytes:
    """What a program prints.

    Raises:
        TimeoutError: it took too long, and was killed.
        RuntimeError: it failed; the text ends with what it complained of.
    """
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(limit_seconds):
            told, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed: {complaint.decode(errors='replace')[-500:]}")
    return told


async def pipecat_python() -> Path:
    """The interpreter that has Pipecat, and behind it what is installed here.

    Raises:
        NoPipecatError
    """
    python = ENVIRONMENT / "bin" / "python"
    installed = ENVIRONMENT / f"has {VERSION} and uvicorn"
    try:
        async with _alone():
            if not installed.exists():
                await _install(python)
                installed.touch()
    except (RuntimeError, TimeoutError, OSError) as error:
        raise NoPipecatError(str(error) or type(error).__name__) from error
    return python


async def _install(python: Path) -> None:
    await output_of((sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)), INSTALL_SECONDS)
    await output_of((str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS), INSTALL_SECONDS)
    packages = ENVIRONMENT / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (packages / "talkstack.pth").write_text(sysconfig.get_path("purelib") + os.linesep)


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """No other process installs it for the time of the block."""
    ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
    with (ENVIRONMENT.parent / "pipecat.lock").open("w") as lock:
        async with asyncio.timeout(INSTALL_SECONDS):
            while not _take(lock.fileno()):  # noqa: ASYNC110 - another process has it
                await asyncio.sleep(0.2)
        yield


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
