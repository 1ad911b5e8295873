"""Create `.venv` and install a lock file into it; at once when that is done already. Standard library only."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.system import ROOT, VAR, StartError, apt_install, exclusive, fail, say

LOCKS = {"worker": "requirements-worker.lock", "dev": "requirements-dev.lock"}
# What a lock file contains besides itself: an up-to-date `dev` serves whoever asks for `worker`.
SERVED_BY = {"worker": ("worker", "dev"), "dev": ("dev",)}


def wanted_stamp(lock: str, root: Path = ROOT) -> str:
    """The stamp of an environment that holds exactly this lock file under this Python."""
    digest = hashlib.sha256((root / LOCKS[lock]).read_bytes()).hexdigest()
    return f"{lock} {digest} {sys.version_info.major}.{sys.version_info.minor}"


def is_installed(lock: str, root: Path = ROOT) -> bool:
    """Say whether the environment already holds what the lock file asks for."""
    stamp = root / ".venv/.installed"
    return stamp.exists() and stamp.read_text() in {wanted_stamp(name, root) for name in SERVED_BY[lock]}


def install(lock: str, root: Path = ROOT) -> None:
    """Make `.venv` hold what a lock file asks for; an install that was interrupted is begun afresh.

    Raises:
        StartError: no virtual environment can be made here, or pip failed.
    """
    venv, unfinished = root / ".venv", root / ".venv/.unfinished"
    python = venv / "bin/python"
    if unfinished.exists() or not _runs(python):
        _create(venv)
    unfinished.touch()
    (venv / ".installed").unlink(missing_ok=True)
    _pip_install(python, root / LOCKS[lock])
    (venv / ".installed").write_text(wanted_stamp(lock, root))
    unfinished.unlink()


def _runs(python: Path) -> bool:
    """Whether this interpreter starts, is of our version, and has pip."""
    probe = f"import pip, sys; raise SystemExit(sys.version_info[:2] != {sys.version_info[:2]!r})"
    return python.exists() and subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode == 0


def _create(venv: Path) -> None:
    make_sure_of_ensurepip()
    say(f"Creating {venv.name} with Python {sys.version.split()[0]} ...")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", venv], capture_output=True, text=True, check=False)
    if made.returncode:
        reason = (made.stdout + made.stderr).strip().splitlines() or ["no reason given"]
        raise StartError(f"Python could not create the virtual environment {venv}: {reason[-1]}")


def make_sure_of_ensurepip() -> None:
    """Debian packs `ensurepip` separately from Python."""

    def present() -> bool:
        return (
            subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
        )

    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    if present() or (apt_install(package, VAR / "log/apt.log") and present()):
        return
    raise StartError(f"This Python has no venv module: install it (on Debian and Ubuntu: apt-get install {package}).")


def _pip_install(python: Path, lock: Path) -> None:
    """Install, and show each package's name as pip comes to it."""
    total = sum(1 for line in lock.read_text().splitlines() if "==" in line and not line.startswith(" "))
    say(f"Installing about {total} packages from {lock.name} ...")
    command: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--require-hashes",
        "--progress-bar=off",
        "--no-input",
        "-r",
        lock,
    ]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    tail: list[str] = []
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as pip:
        assert pip.stdout is not None
        seen = 0
        for line in pip.stdout:
            tail = [*tail[-20:], line.strip()]
            if line.startswith(("Collecting ", "Processing ", "Ignoring ", "Requirement already")):
                seen += 1
                _show(f"[{seen}/{total}] {line.split(' (from')[0].strip()}", every=seen % 10 == 0)
            elif line.startswith("Installing collected"):
                _show("Unpacking them ...", every=True)
    if sys.stdout.isatty():
        say("")
    if pip.returncode:
        raise StartError(why(tail))


def _show(text: str, *, every: bool) -> None:
    """One line that renews itself on a terminal; elsewhere one line in ten."""
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - 1
        print(f"\r\x1b[2K{text[:width]}", end="", flush=True)
    elif every:
        say(text)


def why(tail: list[str]) -> str:
    said = " ".join(tail)
    if any(
        sign in said for sign in ("NewConnectionError", "ConnectTimeout", "Name or service", "Max retries", "nodename")
    ):
        return "The packages could not be downloaded: check this machine's network (or proxy) and run it again."
    if "No space left" in said:
        return "The disk is full: the packages need about 1.5 GB under .venv."
    errors = [line for line in tail if line.startswith("ERROR")] or tail[-1:]
    return f"pip could not install the packages: {errors[0] if errors else 'it printed nothing'}"


def main(lock: str) -> int:
    """Install one lock file (`worker` or `dev`), alone; return the exit status."""
    try:
        with exclusive(VAR / "run/install.lock", "Another install is running; waiting for it ..."):
            if not is_installed(lock):
                install(lock)
    except StartError as error:
        return fail(error)
    except KeyboardInterrupt:
        say("\nInterrupted; the next run begins the install again.")
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
