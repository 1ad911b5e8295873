"""A private RabbitMQ node: own name, ports, cookie and data; on the loopback interface only."""

import asyncio
import os
import shutil
import subprocess
from datetime import timedelta
from functools import partial
from pathlib import Path

from deploy.local.keys import secret
from deploy.local.system import Report, StartError, apt_install, free_port, say
from deploy.local.unit import Running, Unit

USER = "talkstack"
# Not the `rabbitmq-server` in Debian's PATH: that wrapper insists on its own user and folders.
SERVERS = (
    "/usr/lib/rabbitmq/bin/rabbitmq-server",
    "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
    "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
)
IMAGE = "rabbitmq:4"


def find_server() -> str | None:
    """The start script of an installed RabbitMQ, if there is one."""
    return next((path for path in SERVERS if Path(path).exists()), None) or shutil.which("rabbitmq-server")


def rabbitmq_units(directory: Path, report: Report = say) -> tuple[list[Unit], str] | None:
    """Describe a node on free loopback ports, data under `directory`, with its AMQP URL; installs it when needed.

    Returns:
        The programs in the order of their start, or None when this machine can have no RabbitMQ.
    """
    password = secret(directory.parent / "secrets", "rabbitmq")
    port = free_port()
    url = f"amqp://{USER}:{password}@127.0.0.1:{port}/"
    server = find_server() or _installed(directory, report)
    if server:
        return _native(directory, server, port, password), url
    if _has_docker():
        report(f"Starting RabbitMQ as a Docker container ({IMAGE}) ...")
        return [_container(directory, port, password)], url
    return None


async def start_rabbitmq(directory: Path) -> tuple[list[Running], str]:
    """Start a node for tests and wait until it answers; returns its programs in order of start, and its AMQP URL.

    Raises:
        StartError: it cannot be had or did not start.
    """
    planned = rabbitmq_units(directory / "rabbitmq")
    if planned is None:
        raise StartError("RabbitMQ is not installed and cannot be: install rabbitmq-server, or set AMQP_URL.")
    units, url = planned
    started: list[Running] = []
    try:
        for unit in units:
            started.append(Running(unit, directory / "log" / f"{unit.name}.log"))
            await started[-1].wait_ready()
    except BaseException:
        for running in reversed(started):
            await running.stop()
        raise
    return started, url


def _installed(directory: Path, report: Report) -> str | None:
    """Install RabbitMQ with what this system has; its start script, or None."""
    log = directory.parent / "log/install-rabbitmq.log"
    if apt_install("rabbitmq-server", log, report):
        return find_server()
    if brew := shutil.which("brew"):
        report("Installing RabbitMQ with Homebrew ...")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            subprocess.run([brew, "install", "rabbitmq"], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
        return find_server()
    return None


def _native(directory: Path, server: str, port: int, password: str) -> list[Unit]:
    epmd = shutil.which("epmd")
    if epmd is None:
        raise StartError("RabbitMQ is installed but Erlang's epmd is not in PATH: repair it, or set AMQP_URL.")
    epmd_port, distribution_port = free_port(), free_port()
    env = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))},
        "TZ": "UTC",  # of its log
        "HOME": str(directory),  # the node makes its Erlang cookie there
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "talkstack@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": os.devnull,
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "detached": "true",  # the start script becomes the node instead of waiting for it: its pid is the node's
    }
    registry = Unit(
        name="epmd",  # ours, or the node would leave one behind that outlives it
        argv=[epmd, "-port", str(epmd_port), "-address", "127.0.0.1"],
        env=env,
        ready=partial(_listens, epmd_port),
        port=epmd_port,
        stage=-1,
    )
    node = Unit(
        name="rabbitmq",
        argv=[server],
        env=env,
        ready=partial(_greets, port),
        port=port,
        before_start=partial(_configure, directory, password),
    )
    return [registry, node]


def _configure(directory: Path, password: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    (directory / "enabled_plugins").write_text("[].\n")
    settings = [f"default_user = {USER}", f"default_pass = {password}", "disk_free_limit.absolute = 50MB"]
    (directory / "rabbitmq.conf").write_text("\n".join([*settings, ""]))


async def _listens(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True


async def _greets(port: int) -> bool:
    """Whether the node answers an AMQP 0-9-1 protocol header, which it does only after its whole boot."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"AMQP\x00\x00\x09\x01")
        return await reader.read(1) == b"\x01"  # the method frame Connection.Start
    finally:
        writer.close()


def _has_docker() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def _container(directory: Path, port: int, password: str) -> Unit:
    """The node as a container that lives and dies with its `docker run`."""
    directory.mkdir(parents=True, exist_ok=True)
    name = f"talkstack-rabbitmq-{directory.stat().st_ino}"
    login = ["-e", f"RABBITMQ_DEFAULT_USER={USER}", "-e", "RABBITMQ_DEFAULT_PASS"]
    # The volume and the host name keep the data: RabbitMQ names its folder after the host.
    place = ["--hostname", "talkstack", "-v", f"{name}:/var/lib/rabbitmq", "-p", f"127.0.0.1:{port}:5672"]

    def remove_left_over() -> None:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)

    return Unit(
        name="rabbitmq",
        argv=["docker", "run", "--rm", "--name", name, *place, *login, IMAGE],
        env={**os.environ, "RABBITMQ_DEFAULT_PASS": password},
        ready=partial(_greets, port),
        port=port,
        start_limit=timedelta(minutes=5),  # the image may have to be downloaded
        before_start=remove_left_over,
    )
