"""Faults of workers and of their database at every step of a call: nobody is dialled twice, every call ends once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from call_service.calls.domain import Status
from shared.background import running
from shared.db import Database
from shared.testing.waiting import eventually
from tests.support.history import Dialled
from tests.support.recorder import Recorder
from tests.support.wire import Wire
from tests.support.workers import Switchboard, read, sweeper, working

LEASE = timedelta(seconds=2)
ROOT = Path(__file__).parents[2]


class Steps:
    """The other side of a worker process: holds calls at the steps it is told to, counts the dials."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._released = asyncio.Event()
        self.holds: set[tuple[str, str]] = set()
        self.held: set[tuple[str, str]] = set()
        self.over: set[str] = set()
        self.ringing: set[str] = set()
        self.busy: set[str] = set()

    def release(self) -> None:
        self._released.set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        step, call_id = (await reader.readline()).decode().split()
        if step == "dial":
            self._recorder.dialled(call_id)
        if step == "over":
            self.over.add(call_id)
        if (step, call_id) in self.holds:
            self.held.add((step, call_id))
            await self._released.wait()
        writer.write(b"rings\n" if call_id in self.ringing else b"busy\n" if call_id in self.busy else b"answers\n")
        writer.close()

    @asynccontextmanager
    async def worker(self, dsn: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.support.worker_process"),
            *(dsn, str(port), str(LEASE.total_seconds()), str(folder)),
            cwd=ROOT,
            stdout=asyncio.subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            self.release()
            server.close()
            await server.wait_closed()


def has_status(db: Database, call_id: str, *states: Status) -> Any:
    async def check() -> bool:
        return (await read(db, call_id)).status in states

    return check


def all_complete(db: Database, *call_ids: str) -> Any:
    async def check() -> bool:
        return all([(await read(db, call_id)).completed_at for call_id in call_ids])

    return check


@pytest.mark.parametrize("fault", ["killed", "frozen"])
@pytest.mark.timeout(60)
async def test_a_worker_that_fails_at_any_step_dials_nobody_twice(
    db: Database, calls_url: str, tmp_path: Path, fault: str
) -> None:
    """Six calls, each at another step: claimed, intent committed, carrier asked, ringing, answered, end committed.

    Only the first goes on, with another worker. A frozen worker wakes after its calls were taken over, and says nothing
    more about them, nor dials them.
    """
    recorder = Recorder(db)
    steps = Steps(recorder)
    claimed, intended, asked, ringing, answered, ended_call = made = [await recorder.make() for _ in range(6)]
    steps.holds = {("claimed", claimed), ("intended", intended), ("dial", asked), ("ended", ended_call)}
    steps.ringing, steps.busy = {ringing}, {ended_call}
    async with steps.worker(calls_url, tmp_path) as process:
        await eventually(lambda: steps.held == steps.holds, 30)
        await eventually(has_status(db, ringing, Status.RINGING))
        await eventually(has_status(db, answered, Status.IN_PROGRESS))
        process.send_signal(signal.SIGKILL if fault == "killed" else signal.SIGSTOP)
        sweepers = [sweeper(db, tmp_path) for _ in range(2)]
        async with running(sweepers[0].run(), "one"), running(sweepers[1].run(), "other"):
            await eventually(all_complete(db, *made[1:]))
            ended = [await read(db, call_id) for call_id in made[1:]]
            other = Switchboard()
            async with working(db, other, tmp_path / "other"):
                await eventually(lambda: claimed in other.dialled)
                if fault == "frozen":
                    steps.release()
                    process.send_signal(signal.SIGCONT)
                    await eventually(lambda: steps.over == set(made))
                other.legs[claimed].end("callee_busy")
                await eventually(all_complete(db, *made))
    recorder.dialled(*other.dialled)
    assert await recorder.outcome() == []
    assert Dialled(intended) not in recorder.history
    assert [(call.status.value, call.reason) for call in ended] == [
        ("failed", "outcome_unknown"),
        ("failed", "outcome_unknown"),
        ("failed", "worker_lost"),
        ("failed", "worker_lost"),
        ("busy", "callee_busy"),
    ]
    assert [await read(db, call.id) for call in ended] == ended


@asynccontextmanager
async def through(wire: Wire) -> AsyncIterator[Database]:
    """A pool whose connections can go dead; it gives up on a statement after a second."""
    async with wire.running() as dsn:
        database = await Database.connect(dsn, "calls", max_size=4, command_timeout_seconds=1)
        yield database
        await database.close(timeout_seconds=1)


@pytest.mark.timeout(60)
async def test_a_worker_whose_database_goes_dead_hangs_up_once_it_learns_that_its_calls_were_ended(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    recorder, carrier, wire = Recorder(db), Switchboard(answers=0), Wire(URL(calls_url))
    async with through(wire) as own, working(own, carrier, tmp_path, lease=LEASE, heartbeat_seconds=0.5):
        call_id = await recorder.make()
        await eventually(has_status(db, call_id, Status.IN_PROGRESS))
        wire.swallow()
        async with running(sweeper(db, tmp_path / "sweeper").run(), "sweeper"):
            await eventually(all_complete(db, call_id))
        assert not carrier.legs[call_id].has_ended
        wire.restore()
        await eventually(lambda: carrier.legs[call_id].has_ended)
        again = await recorder.make()
        await eventually(lambda: again in carrier.legs, 30)
        carrier.legs[again].end()
        await eventually(all_complete(db, again))
    recorder.dialled(*carrier.dialled)
    assert await recorder.outcome() == []
    assert (await read(db, call_id)).reason == "worker_lost"


@pytest.mark.timeout(60)
async def test_a_call_outlives_its_database_being_dead_for_less_than_its_lease(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    recorder, carrier, wire = Recorder(db), Switchboard(answers=0), Wire(URL(calls_url))
    async with through(wire) as own, working(own, carrier, tmp_path, heartbeat_seconds=0.5):
        call_id = await recorder.make()
        await eventually(has_status(db, call_id, Status.IN_PROGRESS))
        wire.swallow()
        await asyncio.sleep(4)  # four times as long as a statement may take
        carrier.legs[call_id].end()
        wire.restore()
        async with running(sweeper(db, tmp_path).run(), "sweeper"):
            await eventually(all_complete(db, call_id), 30)
    recorder.dialled(*carrier.dialled)
    assert await recorder.outcome() == []
    assert ((await read(db, call_id)).status, (await read(db, call_id)).reason) == (Status.COMPLETED, "callee_hung_up")
