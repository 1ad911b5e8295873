"""A whole stack with one customer, and what can be read off its processes while it works."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from deploy.local.stack import Stack
from deploy.local.system import StartError
from shared.amqp import AmqpBus
from shared.events import Event
from shared.testing.waiting import eventually
from tests.support.customers import Customer, new_customer

CALLEES = Path(__file__).parent / "callees"
MAKERS = 8
API_PROCESSES = ("gateway", "auth-api", "project-api", "project-webhooks", "call-api")
WORKER = "call-worker"
SETTINGS = {
    # Limits are counted and never reached: all requests are those of one customer.
    **dict.fromkeys(("LIMIT_IP", "LIMIT_AUTH", "LIMIT_USER", "LIMIT_KEY"), "1000000/1"),
    "SIMULATED_SCRIPTS_DIR": str(CALLEES),
    "DRAIN_SECONDS": "10",
    "WORKER_MAX_CALLS": "50",
    "SCENARIOS_AT_ONCE": "8",
    "TENANT_CALLS_PER_SECOND": "1000",
    "RING_TIMEOUT_SECONDS": "10",
}


@dataclass
class CallLog:
    """What the broker says about calls: their turns and their ends."""

    turns: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    completed: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def note(self, event: Event) -> None:
        """Take an event."""
        if event.type == "call.turn":
            self.turns.setdefault(event.subject, []).append(event.data)
        else:
            self.completed[event.subject] = event.data


@dataclass(frozen=True)
class Batch:
    """What came of calls placed at once. `cpu_seconds` is the worker's, `machine_seconds` that of all that ran here."""

    calls: list[dict[str, Any]]
    turns: list[dict[str, Any]]
    cpu_seconds: float
    machine_seconds: float
    wall_seconds: float

    def timings(self, name: str) -> list[float]:
        """One timing of all turns that have it, in milliseconds."""
        return [turn["timings"][name] for turn in self.turns if name in turn["timings"]]

    @property
    def talk_seconds(self) -> float:
        """How long all calls were answered, together."""
        return float(sum(call["seconds"] for call in self.calls))

    @property
    def completed(self) -> int:
        """Calls whose conversation came to its end."""
        return sum(call["status"] == "completed" for call in self.calls)


def busy_seconds() -> float:
    """CPU time that all processes of this machine have used so far."""
    times = psutil.cpu_times()
    return sum(map(float, times)) - float(times.idle) - float(getattr(times, "iowait", 0))


@dataclass(frozen=True)
class Rig:
    """The running stack. Everything is measured from outside its processes."""

    stack: Stack
    customer: Customer
    log: CallLog
    idle_mb: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.idle_mb.update({name: self.rss_mb(name) for name in (*API_PROCESSES, WORKER)})

    def rss_mb(self, name: str) -> float:
        """Resident memory of a process."""
        return float(self._process(name).memory_info().rss) / 2**20

    def cpu_seconds(self, name: str) -> float:
        """CPU time that a process has used so far."""
        times = self._process(name).cpu_times()
        return float(times.user + times.system)

    def _process(self, name: str) -> psutil.Process:
        return psutil.Process(self.stack.keepers[name].running.pid)

    async def place(self, number: str, count: int, *, limit_seconds: float, spread_seconds: float = 0) -> Batch:
        """Make `count` calls, spread evenly over some seconds, and wait until all are completed.

        Raises:
            TimeoutError: some were not, within the limit.
        """
        makers = asyncio.Semaphore(MAKERS)

        async def make(index: int) -> str:
            await asyncio.sleep(spread_seconds * index / count)
            async with makers:
                return await self.customer.call(number)

        cpu, machine, began = self.cpu_seconds(WORKER), busy_seconds(), time.monotonic()
        ids = set(await asyncio.gather(*(make(index) for index in range(count))))
        await eventually(lambda: self.log.completed.keys() >= ids, limit_seconds)
        return Batch(
            [self.log.completed[call_id] for call_id in ids],
            [turn for call_id in ids for turn in self.log.turns.get(call_id, ())],
            self.cpu_seconds(WORKER) - cpu,
            busy_seconds() - machine,
            time.monotonic() - began,
        )

    @contextlib.asynccontextmanager
    async def worker_stopped(self) -> AsyncIterator[None]:
        """No worker in this block: calls stay queued."""
        await self.stack.stop_one(WORKER)
        try:
            yield
        finally:
            await self.stack.start_one(WORKER)

    @contextlib.asynccontextmanager
    async def null_engines(self) -> AsyncIterator[None]:
        """A worker whose engines hear and say nothing, in this block."""
        keeper = self.stack.keepers[WORKER]
        unit = keeper.unit
        async with self.worker_stopped():
            keeper.unit = replace(unit, env={**unit.env, "ENGINES": "null"})
        try:
            yield
        finally:
            async with self.worker_stopped():
                keeper.unit = unit


@contextlib.asynccontextmanager
async def running(var: Path) -> AsyncIterator[Rig]:
    """Start everything with its data under `var`; all of it is ended after the block.

    Raises:
        StartError: it does not start, or there is no RabbitMQ: without one, all services are one process.
    """
    async with await Stack.start(var, extra_env=SETTINGS) as stack, aiohttp.ClientSession() as session:
        if stack.amqp_url is None:
            raise StartError("The benchmarks measure processes one by one, which needs RabbitMQ.")
        bus = await AmqpBus.connect(stack.amqp_url)
        try:
            log = CallLog()
            await bus.subscribe("bench", ["call.turn", "call.completed"], log.note, prefetch=256)
            yield Rig(stack, await new_customer(stack, session), log)
        finally:
            stack.at_once.set()
            await bus.close()
