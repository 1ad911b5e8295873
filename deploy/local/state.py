"""What runs now, written down under `var/run`, so that another process can show, repair or stop it."""

import contextlib
import math
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ValidationError

Phase = Literal["starting", "ready", "stopping", "failed"]


class ProcessRecord(BaseModel, frozen=True):
    """A process of ours; `started` (see `start_of`) tells it from a later one with the same pid."""

    name: str
    pid: int
    started: str
    port: int = 0
    stop_signal: int = signal.SIGTERM
    has_health: bool = False


class State(BaseModel, frozen=True):
    """The whole stack, as its supervisor last wrote it."""

    supervisor: ProcessRecord
    url: str
    phase: Phase = "starting"
    progress: tuple[str, ...] = ()
    error: str = ""
    processes: tuple[ProcessRecord, ...] = ()


def state_path(var: Path) -> Path:
    """Where the state of the installation under `var` is."""
    return var / "run/state.json"


def read_state(var: Path) -> State | None:
    """The state last written, or None when there is none that can be read."""
    try:
        return State.model_validate_json(state_path(var).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def write_state(var: Path, state: State) -> None:
    """Replace the state in one step: a reader never sees half of it."""
    path = state_path(var)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(state.model_dump_json(indent=1))
    draft.replace(path)


def start_of(pid: int) -> str:
    """The start of a running process, in a form that stays the same when the clock is set.

    Linux (proc_pid_stat(5), field 22): its ticks since that boot, for a time of day would move with the clock.

    Raises:
        FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess: there is none.
    """
    if sys.platform != "linux":
        return str(psutil.Process(pid).create_time())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")  # the name may hold anything
    return f"{boot} {fields.split()[19]}"


def this_process(name: str) -> ProcessRecord:
    """The record of the calling process."""
    return ProcessRecord(name=name, pid=os.getpid(), started=start_of(os.getpid()))


def has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or a zombie: ended, and not yet collected by whoever is its parent now."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_ended(process: psutil.Process, limit_seconds: float = math.inf) -> bool:
    """Wait for a process that need not be a child of ours; False if it is alive at the limit."""
    limit = time.monotonic() + limit_seconds
    while not has_ended(process):
        if time.monotonic() > limit:
            return False
        time.sleep(0.02)
    return True


def find(record: ProcessRecord) -> psutil.Process | None:
    """The recorded process if it is alive; None if it ended, even when another one has got its pid since."""
    with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        process = psutil.Process(record.pid)
        if start_of(record.pid) == record.started and not has_ended(process):
            return process
    return None


def stop_recorded(records: Iterable[ProcessRecord], *, limit_seconds: float = 20) -> list[str]:
    """End recorded processes that lost their supervisor, the last started first; returns their names."""
    ended = []
    for record in reversed(list(records)):
        if process := find(record):
            process.send_signal(record.stop_signal)
            if not wait_ended(process, limit_seconds):
                os.killpg(record.pid, signal.SIGKILL)
            ended.append(record.name)
    return ended
