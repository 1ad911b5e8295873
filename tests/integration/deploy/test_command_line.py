"""`python -m deploy.local` as the Makefile calls it."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from deploy.local import control, logs
from deploy.local.state import State, this_process, write_state
from deploy.local.system import ROOT, free_port
from tests.integration.deploy.stand_in_supervisor import command_for


def local(var: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.local", "--var", str(var), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["status"], "Talkstack is not running: start it with `make up`."),
        (["logs"], "There are no such logs yet: start the stack with `make up`, see names with `make status`."),
    ],
)
def test_without_a_stack_a_command_says_so_in_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    done = local(tmp_path / "var", *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{sentence}\n")


def test_down_without_a_stack_is_no_error(tmp_path: Path) -> None:
    done = local(tmp_path / "var", "down")
    assert (done.returncode, done.stdout) == (0, "Talkstack was not running.\n")


def test_status_shows_what_runs_and_what_does_not(
    tmp_path: Path, rabbitmq_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMQP_URL", rabbitmq_server)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    var = tmp_path / "var"
    try:
        state = control.up(var, free_port(), lambda _text: None, command_for)
        done = local(var, "status")
        assert done.returncode == 0
        assert all(record.name in done.stdout and str(record.pid) in done.stdout for record in state.processes)
        shown = local(var, "logs", "gateway")
        assert shown.returncode == 0
        assert "the stand-in serves" in shown.stdout
    finally:
        control.down(var, lambda _text: None)


def test_status_fails_when_a_process_is_gone(tmp_path: Path) -> None:
    gone = this_process("gateway").model_copy(update={"started": "long ago", "has_health": True})
    write_state(tmp_path, State(supervisor=this_process("me"), url="http://here", phase="ready", processes=(gone,)))
    done = local(tmp_path, "status")
    assert done.returncode == 1
    assert "NO" in done.stdout


def close_two(server: socket.socket) -> None:
    for _ in range(2):  # aiohttp asks again when it is disconnected
        connection, _address = server.accept()
        connection.recv(65536)  # closing without having read it would be a reset
        connection.close()


def test_status_survives_a_process_that_closes_its_connections(tmp_path: Path) -> None:
    """It ended with a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        threading.Thread(target=close_two, args=(server,)).start()
        closing = this_process("gateway").model_copy(update={"port": server.getsockname()[1], "has_health": True})
        write_state(tmp_path, State(supervisor=this_process("me"), url="http://here", processes=(closing,)))
        done = local(tmp_path, "status")
    assert (done.returncode, done.stderr) == (1, "")
    assert "NO" in done.stdout


def test_following_shows_whole_lines_of_files_that_appear_later(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("old\n")
    lines = logs.follow(tmp_path, ())
    with (tmp_path / "b.log").open("w") as late:
        late.write("a whole line\nhalf ")
        late.flush()
        first = next(lines)
        late.write("a line\n")
    second = next(lines)
    assert [(line.name, line.text) for line in (first, second)] == [("b", "a whole line"), ("b", "half a line")]
