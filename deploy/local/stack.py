"""The running stack, in the care of this process: started in order, kept up, stopped in reverse."""

import asyncio
import signal
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psutil

from deploy.local.postgres import postgres_unit, prepare
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
from deploy.local.unit import POLL_SECONDS, Running, Unit, last_words, until

CALM_SECONDS = 60  # a process that ran this long is restarted at once again
LONGEST_PAUSE_SECONDS = 30.0


def pause_before_restart(ends_in_a_row: int) -> float:
    """Seconds to wait before a process that keeps ending is started again: 0.5, 1, 2 ... 30."""
    return min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0 ** min(ends_in_a_row, 10))


class Keeper:
    """Keeps one unit running: starts it again when it ends unasked."""

    def __init__(self, unit: Unit, log: Path, report: Report) -> None:
        self.unit = unit
        self._log = log
        self._report = report
        self._wanted = True
        self.running = Running(unit, log)
        self._watch: asyncio.Task[None] | None = None

    async def first_start(self) -> None:
        """Wait until it is ready, then guard it; what fails before that is the start's failure."""
        await self.running.wait_ready()
        self._report(f"{self.unit.name} is ready")
        self._watch = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        ends_in_a_row, since = 0, time.monotonic()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if not self._has_ended():
                continue
            ends_in_a_row = 1 if time.monotonic() - since > CALM_SECONDS else ends_in_a_row + 1
            pause = pause_before_restart(ends_in_a_row)
            self._report(f"{self.unit.name} ended with status {self.running.reap()}; starting it again in {pause} s")
            await asyncio.sleep(pause)
            if self._has_ended():
                self._start_again()
                since = time.monotonic()

    def _has_ended(self) -> bool:
        """Whether it has ended though nobody asked it to."""
        return self._wanted and not self.running.is_alive

    def _start_again(self) -> None:
        try:
            self.running = Running(self.unit, self._log)
        except StartError as error:
            self._report(str(error))
        else:
            self._report(f"{self.unit.name} was started again")

    async def stop(self, at_once: asyncio.Event | None = None) -> None:
        """End it and leave it so."""
        self._wanted = False
        await self.running.stop(at_once=at_once)

    async def start(self) -> None:
        """Start it after `stop`, and wait until it is ready."""
        self.running = Running(self.unit, self._log)
        self._wanted = True
        await self.running.wait_ready()

    async def close(self, at_once: asyncio.Event) -> None:
        """End it for good."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        await self.stop(at_once)


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
            admin_dsn = await self._infrastructure(env)
            self.dsns = await prepare(admin_dsn, self.var / "secrets", self._report)
            wiring = Wiring(self.var, self.port, self.dsns, self.amqp_url, env)
            self._report("preparing the databases ...")
            await together(self._migrate(migration, wiring) for migration in migrations)
            chosen = services if self.amqp_url else ALL_IN_ONE
            await self._launch(service_units(chosen, wiring))
        except BaseException:
            await self.stop()
            raise

    async def _infrastructure(self, env: Mapping[str, str]) -> str:
        """Start what the user has not named; returns the administrator's DSN of Postgres."""
        units, admin_dsn, self.amqp_url = [], env.get("DATABASE_URL"), env.get("AMQP_URL")
        if not admin_dsn:
            postgres, admin_dsn = postgres_unit(self.var / "postgres")
            units.append(postgres)
        if not self.amqp_url and (planned := rabbitmq_units(self.var / "rabbitmq", self._report)):
            rabbitmq, self.amqp_url = planned
            units.extend(rabbitmq)
        if not self.amqp_url:
            self._report("no RabbitMQ can be had here: everything runs in one process, its events only within it")
        for stage in sorted({unit.stage for unit in units}):
            await self._launch([unit for unit in units if unit.stage == stage])
        return admin_dsn

    async def _launch(self, units: Sequence[Unit]) -> None:
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
