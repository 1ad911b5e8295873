"""Events of live calls: how soon a call is dialled, and how soon its customer hears of what happens."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp

from project_service.webhooks.events import BINDINGS
from shared.background import running
from shared.testing.waiting import eventually
from tests.bench.calls import BRIEF
from tests.bench.rig import Rig
from tests.bench.sections import Cell, Section, at_most, load_average, percentile
from tests.bench.sink import Sink
from tests.support.customers import Customer, new_customer

CALLS = 80
CALLS_PER_SECOND = 2
LIMIT_SECONDS = 120

Seen = list[tuple[float, dict[str, Any]]]
"""Events, and when they came (Unix, in seconds)."""


async def events(rig: Rig) -> list[Section]:
    """About 1 1/2 minutes: calls at a steady rate, with engines that cost nothing, watched as their customer does."""
    async with rig.null_engines(), Sink().running() as sink, aiohttp.ClientSession() as session:
        customer = await new_customer(rig.stack, session)
        body = {"projectId": customer.project_id, "webhookURL": f"{sink.url}/hook"}
        await customer.api.ask("POST", "/project/call-status/add-webhookurl", body)
        load_before = load_average()
        async with _watching(customer) as seen:
            await _calls(rig, customer)
            await eventually(lambda: _count(seen, "call.completed") == CALLS, LIMIT_SECONDS)
            await eventually(lambda: len(sink.came) == sum(_count(seen, type_) for type_ in BINDINGS), LIMIT_SECONDS)
    return [_section(seen, sink, load_before)]


@asynccontextmanager
async def _watching(customer: Customer) -> AsyncIterator[Seen]:
    """The live stream of all events, through the gateway."""
    seen: Seen = []

    async def watch() -> None:
        async with aclosing(customer.api.events("/events")) as stream:
            async for event in stream:
                seen.append((time.time(), event))

    async with running(watch(), "watching"):
        yield seen


async def _calls(rig: Rig, customer: Customer) -> None:
    """Make calls at a steady rate and wait for their ends."""
    ids = []
    due = time.perf_counter()
    for _ in range(CALLS):
        ids.append(await customer.call(BRIEF))
        due += 1 / CALLS_PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await eventually(lambda: rig.log.completed.keys() >= set(ids), LIMIT_SECONDS)


def _count(seen: Seen, type_: str) -> int:
    return sum(event["type"] == type_ for _, event in seen)


def _section(seen: Seen, sink: Sink, load_before: float) -> Section:
    times = {(event["subject"], event["type"]): _seconds(event["time"]) for _, event in seen}
    dialled = [times[call, "call.initiated"] - at for (call, type_), at in times.items() if type_ == "call.queued"]
    streamed = [at - _seconds(event["time"]) for at, event in seen]
    posted = [at - happened for happened, at in sink.came.values()]
    rows = [
        _row("accepted → dial", dialled, 500),
        _row("event → SSE through the gateway", streamed, 250),
        _row("event → first webhook attempt", posted, 1000),
    ]
    note = f"{CALLS} calls, {CALLS_PER_SECOND} a second, null engines; each event from the time it bears."
    return Section("Events, ms", ("", "n", "p50", "p95", "p99", "bar of p95"), rows, load_before, (note,))


def _row(name: str, seconds: Sequence[float], bar_ms: float) -> tuple[Cell, ...]:
    ms = [1000 * value for value in seconds]
    p50, p95, p99 = (percentile(ms, percent) for percent in (50, 95, 99))
    return name, len(ms), p50, p95, p99, at_most(p95, bar_ms)


def _seconds(time_: str) -> float:
    return datetime.fromisoformat(time_).timestamp()
