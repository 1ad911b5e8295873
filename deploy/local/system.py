"""What the local start needs from the machine. Standard library only: it also runs before anything is installed."""

import fcntl
import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VAR = ROOT / "var"

# Below every system's ephemeral range (Linux 32768, macOS 49152): no outgoing connection can take a port between
# the moment it is chosen and the moment a process, or its restarted successor, listens on it.
PORT_RANGE = range(20_000, 32_000)

_handed_out: set[int] = set()  # chosen, but perhaps not listened on yet

# A package's start script must not start a system daemon: ours is private. `invoke-rc.d` asks this file (101: no).
POLICY = Path("/usr/sbin/policy-rc.d")


class StartError(Exception):
    """The local start cannot go on. The text is one sentence that says what to do."""


Report = Callable[[str], None]


def silent(_text: str) -> None:
    """Report nothing."""


def say(text: str) -> None:
    """Tell the user at once, whatever buffers there are."""
    print(text, flush=True)


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Say whether a TCP port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Choose a free TCP port on the loopback interface; never the same one twice in a process.

    Raises:
        StartError: a hundred random ports in a row were taken.
    """
    for port in random.SystemRandom().sample(PORT_RANGE, 100):
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise StartError("No free port was found between 20000 and 32000: stop some programs that listen there.")


@contextmanager
def exclusive(path: Path, waiting: str) -> Iterator[None]:
    """Hold a lock file; when another process holds it, say `waiting` and wait for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(waiting)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def root_prefix() -> list[str] | None:
    """The prefix that makes a command run as root without a question, or None."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


def apt_install(package: str, log: Path, report: Report = say) -> bool:
    """Install a Debian package without starting its daemon, announced; False when this machine or user cannot."""
    root = root_prefix()
    if root is None or not shutil.which("apt-get"):
        return False
    report(f"Installing {package} with apt-get (the only change outside this folder; log: {log}) ...")
    log.parent.mkdir(parents=True, exist_ok=True)
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]
    with log.open("w") as out, _daemons_held_back(root):
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
            done = subprocess.run([*apt, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    return done.returncode == 0


@contextmanager
def _daemons_held_back(root: list[str]) -> Iterator[None]:
    if POLICY.exists():
        yield
        return
    write = f"printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}"
    subprocess.run([*root, "sh", "-c", write], check=True)
    try:
        yield
    finally:
        subprocess.run([*root, "rm", "-f", POLICY], check=True)


def fail(error: StartError) -> int:
    """Print the one sentence and return the exit status for it."""
    print(error, file=sys.stderr, flush=True)
    return 1
