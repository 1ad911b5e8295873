import os
import subprocess

import psutil
import pytest

from deploy.local.state import find, start_of, this_process


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the system itself records the start")
def test_a_process_is_known_again_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux gives starts since the boot; the time of the boot moves with the clock, and psutil's start time with it."""
    record = this_process("me")
    before = psutil.Process().create_time()
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 3600)
    assert psutil.Process().create_time() > before + 3000
    found = find(record)
    assert found is not None
    assert found.pid == os.getpid()


def test_a_later_process_with_the_same_pid_is_another() -> None:
    record = this_process("me").model_copy(update={"started": "long ago"})
    assert find(record) is None


def test_a_process_that_ended_is_not_found() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        record = this_process("it").model_copy(update={"pid": process.pid, "started": start_of(process.pid)})
        assert find(record) is not None
        process.kill()
        process.wait()
        assert find(record) is None
