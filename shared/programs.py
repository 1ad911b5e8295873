"""Programs of our own that are run for one piece of work, because it can take any time and memory."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended: its exit status (negative: the signal that killed it), and its standard output."""

    status: int
    output: bytes


async def run(
    command: Sequence[str], given: bytes | BinaryIO, seconds: float, *, directory: Path | None = None
) -> Finished:
    """Run `command` (in `directory`) with `given` on its standard input; however this ends, it has ended too.

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=directory,
        stdin=asyncio.subprocess.PIPE if isinstance(given, bytes) else given.fileno(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(given if isinstance(given, bytes) else None)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Finished(process.returncode, output)
