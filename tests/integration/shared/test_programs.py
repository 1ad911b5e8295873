"""Programs that are run for one piece of work: real processes."""

import asyncio
import sys
import tempfile
from pathlib import Path

import pytest

from shared import programs
from shared.testing.waiting import eventually

ECHO = "import sys; sys.stdout.write(sys.stdin.read()[::-1]); sys.exit(3)"


def _is_running(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_its_output_and_its_status_are_given_back() -> None:
    done = await programs.run((sys.executable, "-c", ECHO), b"abc", 20)
    assert (done.status, done.output) == (3, b"cba")


async def test_a_file_is_its_standard_input() -> None:
    with tempfile.TemporaryFile() as file:
        file.write(b"abc")
        file.seek(0)
        assert (await programs.run((sys.executable, "-c", ECHO), file, 20)).output == b"cba"


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="processes are looked up under /proc")
async def test_one_that_takes_too_long_or_is_not_wanted_any_more_is_ended(tmp_path: Path) -> None:
    noted = tmp_path / "pid"
    command = ("sh", "-c", 'echo $$ >"$1"; exec sleep 600', "sh", str(noted))
    with pytest.raises(TimeoutError):
        await programs.run(command, b"", 1)
    assert not _is_running(noted.read_text().strip())
    noted.unlink()
    task = asyncio.create_task(programs.run(command, b"", 600))
    await eventually(lambda: noted.exists() and bool(noted.read_text()))
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert not _is_running(noted.read_text().strip())
