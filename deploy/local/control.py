"""Start, find and stop the background stack from any terminal."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from deploy.local.readiness import readiness
from deploy.local.stack import need_port
from deploy.local.state import State, find, has_ended, read_state, state_path, stop_recorded, wait_ended
from deploy.local.system import ROOT, Report, StartError, exclusive, say, silent
from deploy.local.unit import POLL_SECONDS, last_words

READY_LIMIT_SECONDS = 60.0  # for a running stack: a program that keeps ending is started again within 30 s
WAITING = "Another start or stop is under way; waiting for it ..."


def lock_path(var: Path) -> Path:
    """The file that whoever starts or stops the stack holds."""
    return var / "run/control.lock"


def running_state(var: Path) -> State | None:
    """The state of the stack if its supervisor is alive."""
    state = read_state(var)
    return state if state and find(state.supervisor) else None


def supervisor_command(var: Path, port: int) -> list[str]:
    """The command line of the background process."""
    return [sys.executable, "-m", "deploy.local", "--var", str(var), "supervise", "--port", str(port)]


def up(
    var: Path, port: int, report: Report = say, command_for: Callable[[Path, int], list[str]] = supervisor_command
) -> State:
    """Have the stack running and ready; starts or repairs it when it is not.

    Args:
        var: the folder for data, logs and secrets.
        port: of the gateway.
        report: gets a line of text at each step.
        command_for: makes the command line of the background process.

    Raises:
        StartError: it did not start, or something of it does not get ready.
        KeyboardInterrupt: interrupted; what this call started is stopped.
    """
    with exclusive(lock_path(var), WAITING):
        state = running_state(var)
        if state is None or state.phase in {"stopping", "failed"}:
            clear(var, report)
            need_port(port)
            return _start(var, command_for(var, port), report)
        if state.phase == "starting":
            state = _follow(var, psutil.Process(state.supervisor.pid), report)
        else:
            state = _wait_ready(var, state)
        if state.url != f"http://127.0.0.1:{port}":
            report(f"Already running at {state.url}; to use port {port}, run `make down` first.")
        return state


def down(var: Path, report: Report = say) -> bool:
    """Stop the stack, live calls may finish; False if it was not running. Interrupt it once to end them at once."""
    with exclusive(lock_path(var), WAITING):
        state = running_state(var)
        if state is None:
            return clear(var, report)
        report("Stopping; live calls may finish (Ctrl-C ends them now) ...")
        _stop(psutil.Process(state.supervisor.pid), var)
        return True


def clear(var: Path, report: Report) -> bool:
    """End what a supervisor that is gone left behind; says whether there was anything."""
    state = read_state(var)
    if state is None:
        return False
    if supervisor := find(state.supervisor):
        wait_ended(supervisor)
    ended = stop_recorded(state.processes)
    if ended:
        report(f"Ended what an interrupted run had left: {', '.join(ended)}.")
    state_path(var).unlink()
    return bool(ended)


def _start(var: Path, command: list[str], report: Report) -> State:
    log = var / "log/supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    supervisor = psutil.Process(_in_background(command, log))
    try:
        return _follow(var, supervisor, report)
    except KeyboardInterrupt:
        report("\nInterrupted; stopping what was started ...")
        _stop(supervisor, var)
        raise


def _in_background(command: list[str], log: Path) -> int:
    """Start a program that outlives us, in a session of its own; returns its pid."""
    # The shell is its parent and ends at once, so that it is nobody's to wait for and never a zombie of ours.
    script = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'
    shell = ["sh", "-c", script, "sh", str(log), *command]
    done = subprocess.run(shell, cwd=ROOT, start_new_session=True, stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


def _follow(var: Path, supervisor: psutil.Process, report: Report) -> State:
    """Pass on a supervisor's progress until the stack is ready."""
    shown = 0
    while True:
        is_over = has_ended(supervisor)  # asked first: what it wrote last is read below
        state = read_state(var)
        if state and state.supervisor.pid == supervisor.pid:
            for line in state.progress[shown:]:
                report(f"  {line}")
            shown = len(state.progress)
            if state.phase == "ready":
                return state
            if state.phase == "failed":
                wait_ended(supervisor)  # it has stopped everything and is about to end
                raise StartError(state.error)
        if is_over:
            raise StartError(f"The start ended early.\n{last_words(var / 'log/supervisor.log')}")
        time.sleep(POLL_SECONDS)


def _wait_ready(var: Path, state: State) -> State:
    """Wait until all that a running supervisor keeps can be used; it starts again what has ended."""
    limit = time.monotonic() + READY_LIMIT_SECONDS
    while waiting := _not_ready(state):
        if time.monotonic() > limit:
            raise StartError(f"Not ready: {', '.join(waiting)}. See `make logs`; `make down` and `make up` start anew.")
        time.sleep(POLL_SECONDS)
        if (latest := running_state(var)) is None:
            raise StartError("The stack has just ended: run `make up` again.")
        state = latest
    return state


def _not_ready(state: State) -> list[str]:
    answers = asyncio.run(readiness(state))
    return [record.name for record, is_ready in zip(state.processes, answers, strict=True) if not is_ready]


def _stop(supervisor: psutil.Process, var: Path) -> None:
    """Ask the supervisor to stop everything and wait; an interruption meanwhile ends everything at once."""
    supervisor.terminate()
    try:
        wait_ended(supervisor)
    except KeyboardInterrupt:
        supervisor.terminate()
        wait_ended(supervisor)
    clear(var, silent)
