"""The running stack, in the care of this process: started in order, kept up, stopped in reverse."""

import asyncio
import signal
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

from deploy.local.databases import prepare
from deploy.local.keeper import Keeper
from deploy.local.postgres import postgres_unit
from deploy.local.rabbitmq import rabbitmq_units
from deploy.local.services import (
    ALL_IN_ONE,
    MIGRATIONS,
    SERVICES,
    Service,
    Wiring,
    command,
    common_env,
    database_env,
    service_units,
    user_environment,
)
from deploy.local.system import ROOT, Report, StartError, free_port, is_free, silent
from deploy.local.unit import Unit, last_words, until


@dataclass
class _Servers:
    """Postgres and the broker: an administrator's DSN, and the programs that are ours to start, in their order."""

    admin_dsn: str
    postgres: list[Unit] = field(default_factory=list)
    broker: list[Unit] = field(default_factory=list)


class Stack:
    """All programs of one installation. Made by `Stack.start`; ended by `stop`, or by leaving `async with`."""

    def __init__(self, var: Path, port: int, report: Report = silent) -> None:
        self.var = var.resolve()
        self.port = port or free_port()
        self.dsns: dict[str, str] = {}
        self.amqp_url: str | None = None
        self.keepers: dict[str, Keeper] = {}
        self.at_once = asyncio.Event()  # set: nobody may finish what they do, a stop is a kill
        self._report = report

    @classmethod
    async def start(
        cls,
        var: Path,
        *,
        port: int = 0,
        extra_env: Mapping[str, str] | None = None,
        report: Report = silent,
        services: Sequence[Service] = SERVICES,
        migrations: Sequence[Service] = MIGRATIONS,
    ) -> Self:
        """Start everything and wait until it is ready.

        Args:
            var: the folder for data, logs and secrets; made when missing.
            port: of the gateway; 0 chooses a free one.
            extra_env: settings beside (and before) those of this process's environment.
            report: gets a line of text at each step.
            services: what to run; a test may give stand-ins.
            migrations: what to run once before them.

        Raises:
            StartError: something is missing or did not start; everything is stopped again then.
        """
        stack = cls(var, port, report)
        await stack.bring_up({**user_environment(), **(extra_env or {})}, services, migrations)
        return stack

    async def bring_up(
        self, env: Mapping[str, str], services: Sequence[Service] = SERVICES, migrations: Sequence[Service] = MIGRATIONS
    ) -> None:
        """Start everything, as `start` does."""
        try:
            need_port(self.port)
            servers = self._plan(env)
            await together([self._ready_databases(servers, env, migrations), self._ready_broker(servers.broker)])
            wiring = self._wiring(env)
            await self._launch(service_units(services if self.amqp_url else ALL_IN_ONE, wiring))
        except BaseException:
            await self.stop()
            raise

    def _plan(self, env: Mapping[str, str]) -> _Servers:
        """Decide which servers are ours to start: those that the user has not named."""
        servers = _Servers(env.get("DATABASE_URL", ""))
        if not servers.admin_dsn:
            unit, servers.admin_dsn = postgres_unit(self.var / "postgres")
            servers.postgres.append(unit)
        self.amqp_url = env.get("AMQP_URL")
        if not self.amqp_url and (planned := rabbitmq_units(self.var / "rabbitmq", self._report)):
            servers.broker, self.amqp_url = planned
        if not self.amqp_url:
            self._report("no RabbitMQ can be had here: everything runs in one process, its events only within it")
        return servers

    async def _ready_databases(self, servers: _Servers, env: Mapping[str, str], migrations: Sequence[Service]) -> None:
        await self._launch(servers.postgres)
        self.dsns = await prepare(servers.admin_dsn, self.var / "secrets", self._report)
        self._report("preparing the databases ...")
        wiring = self._wiring(env)
        await together(self._migrate(migration, wiring) for migration in migrations)

    async def _ready_broker(self, units: Sequence[Unit]) -> None:
        for unit in units:
            await self._launch([unit])

    def _wiring(self, env: Mapping[str, str]) -> Wiring:
        return Wiring(self.var, self.port, self.dsns, self.amqp_url, env)

    async def _launch(self, units: Sequence[Unit]) -> None:
        if not units:
            return
        for unit in units:
            self.keepers[unit.name] = Keeper(unit, self.log(unit.name), self._report)
        self._report(f"starting {', '.join(unit.name for unit in units)} ...")
        await together(self.keepers[unit.name].first_start() for unit in units)

    async def _migrate(self, migration: Service, wiring: Wiring) -> None:
        env = {**common_env(wiring), **database_env(migration, wiring)}
        log = self.log(migration.name)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *command(migration), env=env, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out
            )
            try:
                status = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
        if status:
            raise StartError(f"{migration.name} failed with status {status}.\n{last_words(log)}")

    def log(self, name: str) -> Path:
        """The log file of a program."""
        return self.var / "log" / f"{name}.log"

    def url(self, name: str = "gateway") -> str:
        """The base URL of a process."""
        return f"http://127.0.0.1:{self.keepers[name].unit.port}"

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a process a signal; if it ends of that, it is started again. Returns its pid."""
        running = self.keepers[name].running
        running.send(number)
        return running.pid

    async def stop_one(self, name: str) -> None:
        """End one program and leave it so until `start_one`."""
        await self.keepers[name].stop()

    async def start_one(self, name: str) -> None:
        """Start one program again and wait until it is ready."""
        await self.keepers[name].start()

    async def restart(self, name: str) -> None:
        """End one program, start it again, and wait until it is ready."""
        await self.stop_one(name)
        await self.start_one(name)

    async def wait_restarted(self, name: str, old_pid: int) -> None:
        """Wait until the successor of a killed process is ready."""
        await until(lambda: self.keepers[name].running.pid != old_pid)
        await self.keepers[name].running.wait_ready()

    async def stop(self) -> None:
        """Stop everything in the reverse order, each given its time to finish, and wait for it."""
        for stage in sorted({keeper.unit.stage for keeper in self.keepers.values()}, reverse=True):
            keepers = [keeper for keeper in self.keepers.values() if keeper.unit.stage == stage]
            self._report(f"stopping {', '.join(keeper.unit.name for keeper in keepers)} ...")
            await asyncio.gather(*(keeper.close(self.at_once) for keeper in keepers))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


async def together(steps: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do steps at the same time; the first that fails ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def need_port(port: int) -> None:
    """Make sure that the port can be listened on.

    Raises:
        StartError: it is taken; says by whom, where the system tells.
    """
    if not is_free(port):
        raise StartError(f"Port {port} is in use{_by_whom(port)}: stop that, or choose another with PORT={port + 1}.")


def _by_whom(port: int) -> str:
    with suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
