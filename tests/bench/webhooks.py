"""Webhooks: how many a core delivers, and what endpoints that hang do to other customers'."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp

from call_service.calls.schemas import CallObject
from project_service.webhooks.events import BINDINGS
from shared.amqp import AmqpBus
from shared.events import Event
from shared.ids import new_id
from shared.openapi import example_of
from shared.testing.waiting import eventually
from tests.bench.rig import Rig
from tests.bench.sections import Section, at_least, at_most, load_average, percentile
from tests.bench.sink import Sink
from tests.support.customers import sign_up

WORKER = "project-webhooks"
ENDPOINTS = 20
CALLS = 300
ROUNDS = 3
ROUND_SECONDS = 6
PER_SECOND = 20
NEIGHBOURS = 20
ANSWER, HANG = "beside URLs that answer", "beside URLs that hang"
CONFIRM_SECONDS = 30
LIMIT_SECONDS = 60


@dataclass(frozen=True)
class Tenant:
    """A customer with a few projects, each with its URL."""

    id: str
    projects: Sequence[str]

    def call(self, number: int) -> list[Event]:
        """The events of one call, which belongs to one of the projects."""
        subject, project_id = new_id(), self.projects[number % len(self.projects)]
        return [
            Event(
                id=new_id(),
                type=type_,
                time=datetime.now(UTC),
                source="bench",
                subject=subject,
                tenant=self.id,
                project_id=project_id,
                sequence=sequence,
                data={**example_of(CallObject), "call_id": subject},
            )
            for sequence, type_ in enumerate(BINDINGS, 1)
        ]


async def _tenant(rig: Rig, session: aiohttp.ClientSession, url: str, projects: int) -> Tenant:
    ask = (await sign_up(rig.stack, session)).api.ask
    ids = []
    for number in range(projects):
        made = await ask("POST", "/project/create-project", {"name": f"Project {number}", "description": ""})
        ids.append(str(made["data"]["id"]))
        await ask("POST", "/project/call-status/add-webhookurl", {"projectId": ids[-1], "webhookURL": url})
    return Tenant(str(made["data"]["user_id"]), ids)


async def webhooks(rig: Rig) -> list[Section]:
    """About 1 1/2 minutes: events of calls are published; what comes of them is measured at their customers' server."""
    assert rig.stack.amqp_url is not None
    bus = await AmqpBus.connect(rig.stack.amqp_url)
    try:
        async with Sink().running() as sink, aiohttp.ClientSession() as session:
            lively = await _tenant(rig, session, f"{sink.url}/hook", ENDPOINTS)
            others = {
                "alone": None,
                ANSWER: await _tenant(rig, session, f"{sink.url}/hook", NEIGHBOURS),
                HANG: await _tenant(rig, session, f"{sink.url}/dead", NEIGHBOURS),
            }
            return [await _throughput(rig, bus, sink, lively), await _isolation(bus, sink, lively, others)]
    finally:
        await bus.close()


async def _throughput(rig: Rig, bus: AmqpBus, sink: Sink, tenant: Tenant) -> Section:
    load_before, cpu, began = load_average(), rig.cpu_seconds(WORKER), time.perf_counter()
    events = [event for number in range(CALLS) for event in tenant.call(number)]
    await bus.publish_many(events, CONFIRM_SECONDS)
    await eventually(lambda: len(sink.came) >= len(events), LIMIT_SECONDS)
    seconds, cpu_seconds = time.perf_counter() - began, rig.cpu_seconds(WORKER) - cpu
    a_core = len(events) / cpu_seconds
    row = (len(events), len(events) / seconds, 100 * cpu_seconds / seconds, a_core, at_least(a_core, 300))
    columns = ("deliveries", "a second", "worker CPU %", "a CPU second of the worker", "bar")
    note = f"{CALLS} calls of {len(BINDINGS)} events to {ENDPOINTS} URLs, in order per call; from the queue to the log."
    return Section("Webhooks at full load", columns, [row], load_before, (note,))


async def _isolation(bus: AmqpBus, sink: Sink, tenant: Tenant, others: Mapping[str, Tenant | None]) -> Section:
    """Rounds beside each of the others in turns, so that all see the same machine."""
    load_before = load_average()
    found: dict[str, list[float]] = {name: [] for name in others}
    for _ in range(ROUNDS):
        for name, other in others.items():
            found[name] += await _latencies_ms(bus, sink, tenant, other)
    p95 = {name: percentile(ms, 95) or 0.0 for name, ms in found.items()}
    rows = [(name, len(ms), percentile(ms, 50), p95[name]) for name, ms in found.items()]
    ratio = p95[HANG] / p95[ANSWER]
    notes = (
        f"{PER_SECOND}/s, and as many to the {NEIGHBOURS} URLs of another customer.",
        f"p95 {HANG} / {ANSWER}: {ratio:.2f}; bar {at_most(ratio, 1.1)}. {sink.hanging} attempts hung.",
    )
    columns = ("published → received", "deliveries", "p50 ms", "p95 ms")
    return Section("Webhooks beside those of another customer", columns, rows, load_before, notes)


async def _latencies_ms(bus: AmqpBus, sink: Sink, tenant: Tenant, other: Tenant | None) -> list[float]:
    """One round: what the tenant's deliveries took, from before they were published."""
    published: dict[tuple[str, str], float] = {}
    due = time.perf_counter()
    for number in range(PER_SECOND * ROUND_SECONDS):
        event = tenant.call(number)[0]
        published[event.subject, event.type] = time.time()
        await bus.publish_many([event], CONFIRM_SECONDS)
        if other is not None:
            await asyncio.sleep(0.5 / PER_SECOND)
            await bus.publish_many([other.call(number)[0]], CONFIRM_SECONDS)
        due += 1 / PER_SECOND
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    await eventually(lambda: sink.came.keys() >= published.keys(), LIMIT_SECONDS)
    return [1000 * (sink.came[event][1] - at) for event, at in published.items()]
