"""`python -m tests.support.worker_process DSN PORT LEASE_SECONDS FOLDER`: a worker that can be caught at any step.

Before each step of a call it says `step call_id` to 127.0.0.1:PORT and waits for a line. The step `dial` is the request
to the carrier: whoever listens counts it, and answers whether the callee `answers`, only `rings`, or is `busy`.
"""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

from call_service.calls.domain import Outcome
from call_service.carriers.port import Answered, Cause, DialRequest, Ringing
from call_service.carriers.ticker import Ticker
from call_service.dialer import runner, worker
from call_service.dialer.journal import Journal
from call_service.dialer.runner import CallRunner
from call_service.voice.memory_leg import MemoryLeg
from shared.db import Database
from tests.support.workers import new_worker


async def step(name: str, call_id: str) -> str:
    """Wait until the test lets the call go on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    writer.write(f"{name} {call_id}\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    return answer


class SteppedCarrier:
    """A `Carrier` at the other end of a socket."""

    name = "stepped"

    def __init__(self) -> None:
        self._ticker = Ticker()

    async def place(self, request: DialRequest) -> MemoryLeg:
        behaviour = await step("dial", request.call_id)
        leg = MemoryLeg()
        self._ticker.add(leg)
        leg.emit(Ringing())
        if behaviour == "answers":
            leg.emit(Answered())
        if behaviour == "busy":
            leg.end(Cause.BUSY)
        return leg

    async def find(self, call_id: str) -> bool | None:
        return None

    async def close(self) -> None:
        """Its legs die with the process."""


class SteppedJournal(Journal):
    """Says when the intent is about to be committed, and when it is."""

    async def intend(self, carrier: str, lease: timedelta) -> Outcome | None:
        await step("claimed", self.call.id)
        refused = await super().intend(carrier, lease)
        await step("intended", self.call.id)
        return refused


class SteppedRunner(CallRunner):
    """Says when the end is committed, and when it has let a call go."""

    async def _end(self, outcome: Outcome) -> bool:
        ended = await super()._end(outcome)
        await step("ended", self._journal.call.id)
        return ended

    async def run(self) -> None:
        await super().run()
        await step("over", self._journal.call.id)


async def main() -> None:
    dsn, lease = sys.argv[1], timedelta(seconds=float(sys.argv[3]))
    db = await Database.connect(dsn, "calls", max_size=4)
    stepped = await new_worker(db, SteppedCarrier(), Path(sys.argv[4]), lease=lease, max_calls=40)
    await stepped.run(lease.total_seconds() / 3)


if __name__ == "__main__":
    runner.Journal = SteppedJournal  # type: ignore[misc]
    worker.CallRunner = SteppedRunner  # type: ignore[misc]
    asyncio.run(main())
