"""`make up` and `make down` as a user meets them: in the background, interrupted, twice, after a crash."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from deploy.local import control, logs
from deploy.local.state import ProcessRecord, State, find, read_state, this_process, wait_ended, write_state
from deploy.local.system import ROOT, StartError, free_port, is_free
from tests.integration.deploy.stand_in_supervisor import command_for


def processes_about(var: Path) -> list[psutil.Process]:
    """Every process that has this installation's folder in its command line or environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [*process.cmdline(), *process.environ().values()]
        except psutil.Error:
            continue
        if process.pid != os.getpid() and any(str(var) in word for word in words):
            found.append(process)
    return found


@pytest.fixture
def var(tmp_path: Path, rabbitmq_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for one installation; whatever the test leaves running in it is a failure, and is stopped."""
    monkeypatch.setenv("AMQP_URL", rabbitmq_server)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    folder = tmp_path / "var"
    yield folder
    control.down(folder)
    assert processes_about(folder) == []


def up(var: Path, port: int, said: list[str] | None = None) -> State:
    return control.up(var, port, (said if said is not None else []).append, command_for)


def test_up_returns_when_all_is_ready_and_down_leaves_nothing(var: Path) -> None:
    port, said = free_port(), list[str]()
    state = up(var, port, said)
    assert state.url == f"http://127.0.0.1:{port}"
    assert [record.name for record in state.processes] == ["postgres", "auth-api", "gateway"]
    assert "  gateway is ready" in said
    assert control.down(var, said.append)
    assert is_free(port)
    assert processes_about(var) == []
    assert read_state(var) is None
    assert not control.down(var)


def test_a_second_up_starts_nothing(var: Path) -> None:
    port, said = free_port(), list[str]()
    first = up(var, port)
    second = up(var, port + 1, said)
    assert second.processes == first.processes
    assert said == [f"Already running at {first.url}; to use port {port + 1}, run `make down` first."]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health/ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def pid_of(var: Path, name: str) -> int:
    state = read_state(var)
    assert state is not None
    return next(record.pid for record in state.processes if record.name == name)


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


def test_an_up_of_a_running_stack_waits_for_what_has_just_ended(var: Path) -> None:
    """It said "ready" at once though nobody answered at its address."""
    port = free_port()
    os.kill(next(record.pid for record in up(var, port).processes if record.name == "gateway"), signal.SIGKILL)
    assert answers(up(var, port).url)


def test_an_up_of_a_running_stack_names_what_does_not_get_ready(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    up(var, port)
    stuck = pid_of(var, "gateway")
    monkeypatch.setattr(control, "READY_LIMIT_SECONDS", 0.5)
    os.kill(stuck, signal.SIGSTOP)
    try:
        with pytest.raises(StartError, match=r"Not ready: .*gateway"):
            up(var, port)
    finally:
        os.kill(stuck, signal.SIGCONT)


def test_a_state_that_cannot_be_written_stops_neither_the_restarts_nor_down(var: Path) -> None:
    """A full disk ended the watch of the program for ever, and the stop before its last stages."""
    state = up(var, free_port())
    old, in_the_way = pid_of(var, "gateway"), var / "run/state.draft"
    in_the_way.mkdir()
    os.kill(old, signal.SIGKILL)
    log = var / "log/supervisor.log"
    wait_until(lambda: "gateway was started again" in log.read_text() and answers(state.url))
    in_the_way.rmdir()
    wait_until(lambda: pid_of(var, "gateway") != old)
    in_the_way.mkdir()
    assert control.down(var)
    assert processes_about(var) == []
    assert read_state(var) is None


def test_logs_are_stamped_in_utc_wherever_the_machine_is(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local times were taken for UTC, so `make logs` put lines hours away from those of the same moment."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    up(var, free_port())
    for name in ("postgres", "supervisor"):
        [line] = logs.recent([var / f"log/{name}.log"], 1)
        assert abs(datetime.now(UTC) - datetime.fromisoformat(line.when)) < timedelta(minutes=5), line


def test_two_ups_at_once_start_one_stack(var: Path) -> None:
    port = free_port()
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: up(var, port), range(2))
    assert first.supervisor == second.supervisor


def test_up_repairs_what_a_killed_supervisor_left(var: Path) -> None:
    port, said = free_port(), list[str]()
    first = up(var, port)
    supervisor = find(first.supervisor)
    assert supervisor is not None
    supervisor.kill()
    wait_ended(supervisor)
    second = up(var, port, said)
    assert said[0] == "Ended what an interrupted run had left: gateway, auth-api, postgres."
    assert not {record.pid for record in first.processes} & {record.pid for record in second.processes}


def test_an_interrupted_up_stops_what_it_started(var: Path) -> None:
    program = f"""
import pathlib, signal, sys
from deploy.local import control
from tests.integration.deploy.stand_in_supervisor import command_for

def report(text):
    print(text)
    if "starting postgres" in text:
        signal.raise_signal(signal.SIGINT)  # from outside it might come when all is ready

try:
    control.up(pathlib.Path(sys.argv[1]), int(sys.argv[2]), report, command_for)
except KeyboardInterrupt:
    raise SystemExit({128 + signal.SIGINT})
"""
    command = [sys.executable, "-c", program, str(var), str(free_port())]
    child = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=100, check=False)
    assert child.returncode == 130
    assert "Interrupted; stopping what was started ..." in child.stdout
    assert processes_about(var) == []


def test_a_failed_start_says_why_and_leaves_nothing(var: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAIN_SECONDS", "soon")
    with pytest.raises(StartError, match="DRAIN_SECONDS must be a whole number of seconds, not 'soon'"):
        up(var, free_port())
    assert processes_about(var) == []


def test_a_port_in_use_is_said_before_anything_starts(var: Path) -> None:
    port = up(var, free_port()).processes[-1].port
    other = var.parent / "other"
    with pytest.raises(StartError, match=f"Port {port} is in use"):
        up(other, port)
    assert not (other / "log/supervisor.log").exists()


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(var: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        old = ProcessRecord(name="supervisor", pid=stranger.pid, started="long ago")
        write_state(var, State(supervisor=old, url="http://127.0.0.1:1", phase="ready", processes=(old,)))
        assert control.running_state(var) is None
        assert not control.down(var)
        assert stranger.poll() is None
        stranger.kill()


def test_down_waits_for_an_up_under_way(var: Path) -> None:
    said: list[str] = []
    starting = threading.Thread(target=up, args=(var, free_port(), said))
    starting.start()
    while not said:
        time.sleep(0.02)
    assert control.down(var)
    starting.join()
    assert "  gateway is ready" in said
    assert read_state(var) is None


def test_a_state_file_that_cannot_be_read_counts_as_none(var: Path) -> None:
    write_state(var, State(supervisor=this_process("me"), url=""))
    (var / "run/state.json").write_text('{"supervisor": ')
    assert control.running_state(var) is None
