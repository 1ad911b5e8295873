"""The background process of `make up`: starts the stack, keeps it up, writes down what runs, stops it on SIGTERM."""

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from deploy.local.keeper import Keeper
from deploy.local.services import MIGRATIONS, SERVICES, Service, user_environment
from deploy.local.stack import Stack
from deploy.local.state import Phase, ProcessRecord, State, this_process, write_state
from deploy.local.system import StartError

logger = logging.getLogger(__name__)
WRITE_AGAIN_SECONDS = 2.0
INFRASTRUCTURE_STAGES = range(-1, 1)  # programs of others: they have no health page


class Supervisor:
    """One stack and its state file."""

    def __init__(
        self, var: Path, port: int, services: Sequence[Service] = SERVICES, migrations: Sequence[Service] = MIGRATIONS
    ) -> None:
        self._services, self._migrations = services, migrations
        self._stack = Stack(var, port, self._report)
        self._me = this_process("supervisor")
        self._phase: Phase = "starting"
        self._progress: list[str] = []
        self._error = ""
        self._is_written = False

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; a second one ends everything at once. Returns the exit status."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop, stopping)
        self._write()
        self._late = asyncio.create_task(self._write_late())
        start = asyncio.create_task(self._stack.bring_up(user_environment(), self._services, self._migrations))
        stop = asyncio.create_task(stopping.wait())
        await asyncio.wait({start, stop}, return_when=asyncio.FIRST_COMPLETED)
        if start.done() and (error := start.exception()):
            return self._failed(error)
        if not start.done():
            start.cancel()
            with suppress(asyncio.CancelledError, StartError):
                await start
            return 0
        self._enter("ready")
        await stop
        self._enter("stopping")
        await self._stack.stop()
        return 0

    def _asked_to_stop(self, stopping: asyncio.Event) -> None:
        if stopping.is_set():
            self._stack.at_once.set()
        stopping.set()

    def _failed(self, error: BaseException) -> int:
        if not isinstance(error, StartError):
            logger.error("the start failed", exc_info=error)
        self._error = str(error) if isinstance(error, StartError) else f"{type(error).__name__}: {error}"
        self._enter("failed")
        return 1

    def _report(self, text: str) -> None:
        logger.info("%s", text)
        if self._phase == "starting":
            self._progress.append(text)
        self._try_write()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._try_write()

    def _try_write(self) -> None:
        """A full disk ends nothing: what runs goes on, and is written down later."""
        try:
            self._write()
        except OSError as error:
            logger.warning("the state could not be written: %s", error)
            self._is_written = False

    async def _write_late(self) -> None:
        while True:
            await asyncio.sleep(WRITE_AGAIN_SECONDS)
            if not self._is_written:
                self._try_write()

    def _write(self) -> None:
        state = State(
            supervisor=self._me,
            url=f"http://127.0.0.1:{self._stack.port}",
            phase=self._phase,
            progress=tuple(self._progress),
            error=self._error,
            processes=tuple(_record(keeper) for keeper in self._stack.keepers.values()),
        )
        write_state(self._stack.var, state)
        self._is_written = True


def _record(keeper: Keeper) -> ProcessRecord:
    unit = keeper.unit
    return ProcessRecord(
        name=unit.name,
        pid=keeper.running.pid,
        started=keeper.running.started,
        port=unit.port,
        stop_signal=unit.stop_signal,
        has_health=unit.stage not in INFRASTRUCTURE_STAGES,
    )


def supervise(supervisor: Supervisor) -> int:
    """Run a supervisor in this process; returns its exit status."""
    handler, formatter = logging.StreamHandler(), logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    return asyncio.run(supervisor.run())
