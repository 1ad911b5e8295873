"""Batches: how fast a file becomes contacts and contacts become calls, and what that takes of memory.

`make bench ARGS=batches`. Starts a Postgres of its own (which does not wait for its disk) and the API of call_service
as a process; calls are claimed as workers do, and ended at once.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from aiohttp.test_utils import TestServer

from call_service.batches.dialing import BatchDialer
from call_service.calls.claiming import CallClaimer, Claimer
from call_service.capacity.domain import Limits
from deploy.local.databases import dsn_for
from deploy.local.postgres import start_postgres
from shared.clock import SystemClock
from shared.db import Database
from shared.migrations import migrate
from shared.tokens import HEADER, InternalTokens, Principal
from tests.bench.sections import Cell, Section, at_most, load_average
from tests.support.batches import PUBLIC, csv_of, form_of
from tests.support.call_process import Process, call_api
from tests.support.calls import MIGRATIONS, SECRET, FakeProjects

WINDOW = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "hours": "00:00-24:00"}
SIZES = (100_000, 1_000_000)
WORKERS = (1, 4)
CLAIM_SECONDS = 5.0
AT_A_TIME = 40
# Longer than the run, so that no sweeper takes what is measured.
LEASE = timedelta(hours=1)
SINGLE_CALLS = 30_000
TENANTS = 20
FULL_TRUNKS, WAITING_EACH, LIVE_EACH = 200, 500, 20
# Kept like any others, and never reached: what is measured is what they cost.
LIMITS = Limits(calls_per_second=1_000_000, max_calls=1_000_000)
MEGABYTE = 1 << 20

_QUEUE = """
INSERT INTO calls (id, tenant, project_id, agent_id, agent_version, agent, direction, from_number, to_number, status)
SELECT gen_random_uuid(), tenant, gen_random_uuid(), gen_random_uuid(), 1, $3, 'outbound',
    '+12025550199', '+12025550100', 'queued'
FROM (SELECT gen_random_uuid() AS tenant FROM generate_series(1, $1::integer)) AS tenants,
    generate_series(1, $2::integer)
"""
_FULL_TRUNKS = """
INSERT INTO trunks (id, tenant, name, host, transport, srtp, username, password, realm, registers, inbound,
    allowed_addresses, calls_per_second, max_concurrent)
SELECT gen_random_uuid(), gen_random_uuid(), 'full', 'sip.example.com', 'udp', 'off', '', '', '', false, 'address',
    '[]', 10, $2 FROM generate_series(1, $1::integer)
"""
_THEIR_CALLS = """
INSERT INTO calls (id, tenant, project_id, agent_id, agent_version, agent, direction, from_number, to_number, status,
    trunk_id, owner, lease_until)
SELECT gen_random_uuid(), tenant, gen_random_uuid(), gen_random_uuid(), 1, '{}', 'outbound',
    '+12025550199', '+12025550100', $2, id, $3, now() + interval '1 hour' FROM trunks, generate_series(1, $1::integer)
"""


@dataclass(frozen=True)
class Bench:
    """The running parts."""

    process: Process
    projects: FakeProjects
    db: Database
    postmaster: int

    def cpu_seconds(self) -> float:
        """What this process and Postgres have used so far."""
        server = psutil.Process(self.postmaster)
        times = [process.cpu_times() for process in (psutil.Process(), server, *server.children(recursive=True))]
        ended = times[1].children_user + times[1].children_system
        return float(sum(each.user + each.system for each in times) + ended)


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator[Bench]:
    """Postgres, the project service's stand-in and the API."""
    server, administrator = await start_postgres(folder / "postgres")
    dsn = dsn_for(administrator, database="postgres")
    await migrate(dsn, "calls", MIGRATIONS)
    db = await Database.connect(dsn, "calls", max_size=20, command_timeout_seconds=60)
    projects = FakeProjects()
    try:
        async with (
            TestServer(projects.app()) as stand_in,
            call_api(dsn, str(stand_in.make_url("/")), folder) as process,
        ):
            yield Bench(process, projects, db, server.pid)
    finally:
        await db.close()
        await server.stop()


async def send(bench: Bench, content: bytes) -> dict[str, Any]:
    """Upload a file with calling hours, so that each row's time zone is looked up."""
    principal = Principal(bench.projects.tenant, "token", scopes=("*",))
    headers = {HEADER: InternalTokens(SECRET, "gateway", SystemClock().now).sign(principal)}
    form = form_of(content, projectId=bench.projects.project_id, window=WINDOW)
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{bench.process.url}/call/batch-call", data=form, headers=headers) as response,
    ):
        answer = await response.json()
    assert response.status == 200, answer
    return dict(answer["batch"])


async def end_all(db: Database, owner: str) -> None:
    """The worker's calls are over; workers hold a few dozen, not all that they ever claimed."""
    await db.execute("UPDATE calls SET status = 'busy', ended_at = now() WHERE owner = $1 AND ended_at IS NULL", owner)


def dialer(db: Database, owner: str) -> Claimer:
    """The part of a worker that claims contacts of batches."""
    return BatchDialer(db, owner, LEASE, Decimal(0), PUBLIC, LIMITS)


def claimer(db: Database, owner: str) -> Claimer:
    """The part of a worker that claims single calls."""
    return CallClaimer(db, owner, LEASE, LIMITS)


async def upload(bench: Bench, rows: int) -> list[Cell]:
    """One file: upload, first claim, memory."""
    content = csv_of(rows)
    before, began = bench.process.rss_bytes(), time.perf_counter()
    async with bench.process.peak_rss() as peak:
        batch = await send(bench, content)
    uploaded = time.perf_counter()
    await bench.db.execute("UPDATE batches SET status = 'canceled' WHERE id <> $1", batch["id"])
    asked = time.perf_counter()
    claimed = await dialer(bench.db, "first").claim(1)
    assert [one.call.batch_id for one in claimed] == [batch["id"]]
    start_ms = (time.perf_counter() - asked) * 1000
    grown = (peak[0] - before) / MEGABYTE
    seconds = uploaded - began
    return [str(rows), seconds, rows / seconds, start_ms, at_most(start_ms, 2000), before / MEGABYTE, grown]


async def claims(bench: Bench, kind: Callable[[Database, str], Claimer], name: str, workers: int) -> list[Cell]:
    """Claims as empty workers make them."""
    claimed = 0
    began, cpu = time.perf_counter(), bench.cpu_seconds()

    async def claim(owner: str) -> None:
        nonlocal claimed
        while time.perf_counter() < began + CLAIM_SECONDS:
            found = await kind(bench.db, owner).claim(AT_A_TIME)
            claimed += len(found)
            await end_all(bench.db, owner)

    await asyncio.gather(*(claim(f"worker {number}") for number in range(workers)))
    wall, used = time.perf_counter() - began, bench.cpu_seconds() - cpu
    return [f"{name}, {workers} at once", claimed / wall, claimed / used]


async def full_trunks(bench: Bench) -> list[Cell]:
    """How long it takes to find the one call that may begin among many that may not."""
    await bench.db.execute(_FULL_TRUNKS, FULL_TRUNKS, LIVE_EACH)
    await bench.db.execute(_THEIR_CALLS, WAITING_EACH, "queued", None)
    await bench.db.execute(_THEIR_CALLS, LIVE_EACH, "in-progress", "somebody")
    looks = []
    for _ in range(20):
        await bench.db.execute(_QUEUE, 1, 1, {})
        began = time.perf_counter()
        assert len(await claimer(bench.db, "another").claim(AT_A_TIME)) == 1
        looks.append((time.perf_counter() - began) * 1000)
    waiting = FULL_TRUNKS * WAITING_EACH
    return [f"{waiting} calls of {FULL_TRUNKS} trunks", sorted(looks)[len(looks) // 2], max(looks)]


async def batches(_rig: object) -> list[Section]:
    """About 100 s: files of 100 000 and of 1 000 000 rows, then claims of their contacts and of single calls."""
    with tempfile.TemporaryDirectory(prefix="talkstack-bench-") as name:
        async with stack(Path(name)) as bench:
            await send(bench, csv_of(1000))
            load_before = load_average()
            uploads = [await upload(bench, rows) for rows in SIZES]
            load_between = load_average()
            rows = [await claims(bench, dialer, "batches", workers) for workers in WORKERS]
            for workers in WORKERS:
                await bench.db.execute("UPDATE calls SET status = 'busy', ended_at = now() WHERE ended_at IS NULL")
                await bench.db.execute(_QUEUE, TENANTS, SINGLE_CALLS // TENANTS, bench.projects.agent)
                rows.append(await claims(bench, claimer, "single calls", workers))
            await bench.db.execute("UPDATE calls SET status = 'busy', ended_at = now() WHERE ended_at IS NULL")
            looks = [await full_trunks(bench)]
    columns = ("rows", "upload s", "rows/s", "first claim ms", "bar", "API MB before", "MB grown")
    note = f"Up to {AT_A_TIME} at a time. CPU seconds are those of the workers and of Postgres together."
    return [
        Section("POST /call/batch-call with a CSV file", columns, uploads, load_before),
        Section("Claims, of one tenant or twenty", ("", "claims/s", "per CPU second"), rows, load_between, (note,)),
        Section("A call that may begin, behind calls of full trunks", ("", "ms", "most"), looks, load_average()),
    ]
