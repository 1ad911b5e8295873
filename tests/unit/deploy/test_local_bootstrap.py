"""When the virtual environment is made anew, renewed, or left alone."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import bootstrap
from deploy.local.system import ROOT, StartError


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose lock files ask for nothing, and pip that is never run."""
    for lock in bootstrap.LOCKS.values():
        (tmp_path / lock).write_text(f"# {lock}\n")
    (tmp_path / ".venv").mkdir()
    monkeypatch.setattr(bootstrap, "_create", lambda venv: (venv / "created").touch())
    monkeypatch.setattr(bootstrap, "_pip_install", lambda python, lock: None)
    return tmp_path


def stamp(tree: Path, lock: str) -> None:
    (tree / ".venv/.installed").write_text(bootstrap.wanted_stamp(lock, tree))


def test_what_is_stamped_is_installed(tree: Path) -> None:
    assert not bootstrap.is_installed("worker", tree)
    stamp(tree, "worker")
    assert bootstrap.is_installed("worker", tree)
    assert not bootstrap.is_installed("dev", tree)


def test_the_larger_lock_serves_the_smaller(tree: Path) -> None:
    stamp(tree, "dev")
    assert bootstrap.is_installed("worker", tree)


def test_a_changed_lock_is_not_installed(tree: Path) -> None:
    stamp(tree, "worker")
    (tree / bootstrap.LOCKS["worker"]).write_text("another==1\n")
    assert not bootstrap.is_installed("worker", tree)


def test_a_missing_environment_is_created_and_stamped(tree: Path) -> None:
    bootstrap.install("worker", tree)
    assert (tree / ".venv/created").exists()
    assert bootstrap.is_installed("worker", tree)


def test_an_interrupted_install_is_begun_afresh(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(python: Path, lock: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bootstrap, "_runs", lambda python: True)
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "_pip_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bootstrap.install("worker", tree)
    assert not (tree / ".venv/created").exists()
    assert not bootstrap.is_installed("worker", tree)
    bootstrap.install("worker", tree)
    assert (tree / ".venv/created").exists()
    assert bootstrap.is_installed("worker", tree)


def test_no_network_is_one_clear_sentence() -> None:
    tail = ["WARNING: Retrying ... NewConnectionError('Failed to establish')", "ERROR: No matching distribution found"]
    assert bootstrap.why(tail) == (
        "The packages could not be downloaded: check this machine's network (or proxy) and run it again."
    )


def test_another_failure_of_pip_is_passed_on() -> None:
    assert (
        bootstrap.why(["x", "ERROR: hashes differ", "y"]) == "pip could not install the packages: ERROR: hashes differ"
    )


def test_a_python_without_venv_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bootstrap, "apt_install", lambda package, log: False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StartError, match=r"no venv module: install it \(on Debian and Ubuntu: apt-get install python3"):
        bootstrap.make_sure_of_ensurepip()


def test_an_old_python_is_one_clear_sentence(tmp_path: Path) -> None:
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (tmp_path / name).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [ROOT / "deploy/local/bootstrap.sh", "worker"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Talkstack needs Python 3.11 or newer, and none was found")
    assert done.stderr.count("\n") == 1


def pins(name: str) -> set[str]:
    return set(re.findall(r"^([\w.-]+==[\w.]+)", (ROOT / name).read_text(), re.MULTILINE))


def test_each_lock_contains_the_smaller_one_and_no_address() -> None:
    api, worker, dev = (pins(f"requirements{part}.lock") for part in ("", "-worker", "-dev"))
    assert api < worker < dev
    assert not any("://" in (ROOT / f"requirements{part}.lock").read_text() for part in ("", "-worker", "-dev"))
