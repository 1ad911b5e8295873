"""Batches: how fast a file becomes contacts and contacts become calls, and what that takes of memory.

`python tests/bench/bench_batches.py [rows …]` starts a Postgres of its own and the API of call_service as a process,
uploads a file of each size (default 100000), and claims calls of it as workers do.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp.test_utils import TestServer
from rich.console import Console
from rich.table import Table

from call_service.batches.dialing import BatchDialer
from deploy.local.databases import dsn_for
from deploy.local.postgres import start_postgres
from shared.clock import SystemClock
from shared.db import Database
from shared.migrations import migrate
from shared.tokens import HEADER, InternalTokens, Principal
from tests.support.batches import LEASE, PUBLIC, csv_of, form_of
from tests.support.call_process import Process, call_api
from tests.support.calls import MIGRATIONS, SECRET, FakeProjects

WINDOW = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "hours": "00:00-24:00"}
CLAIM_SECONDS = 5.0
MEGABYTE = 1 << 20


@asynccontextmanager
async def stack(folder: Path) -> AsyncIterator[tuple[Process, FakeProjects, Database]]:
    """Postgres, the project service's stand-in and the API."""
    server, administrator = await start_postgres(folder / "postgres")
    dsn = dsn_for(administrator, database="postgres")
    await migrate(dsn, "calls", MIGRATIONS)
    db = await Database.connect(dsn, "calls", max_size=20)
    projects = FakeProjects()
    try:
        async with (
            TestServer(projects.app()) as stand_in,
            call_api(dsn, str(stand_in.make_url("/")), folder) as process,
        ):
            yield process, projects, db
    finally:
        await db.close()
        await server.stop()


async def send(process: Process, projects: FakeProjects, content: bytes) -> dict[str, Any]:
    """Upload a file with calling hours, so that each row's time zone is looked up."""
    principal = Principal(projects.tenant, "token", scopes=("*",))
    headers = {HEADER: InternalTokens(SECRET, "gateway", SystemClock().now).sign(principal)}
    form = form_of(content, projectId=projects.project_id, window=WINDOW)
    timeout = aiohttp.ClientTimeout(total=None)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(f"{process.url}/call/batch-call", data=form, headers=headers) as response,
    ):
        answer = await response.json()
    assert response.status == 200, answer
    return dict(answer["batch"])


def dialer(db: Database, number: int) -> BatchDialer:
    """The claiming part of a worker."""
    return BatchDialer(db, f"worker {number}", LEASE, Decimal(0), PUBLIC)


async def measure_upload(process: Process, projects: FakeProjects, db: Database, rows: int, table: Table) -> None:
    """One file: upload, first claim, memory."""
    content = csv_of(rows)
    before = process.rss_bytes()
    began = time.perf_counter()
    async with process.peak_rss() as peak:
        await send(process, projects, content)
    uploaded = time.perf_counter()
    claimed = await dialer(db, 0).claim(1)
    assert len(claimed) == 1
    seconds, start_ms = uploaded - began, (time.perf_counter() - uploaded) * 1000
    memory = f"{before / MEGABYTE:.0f} → {peak[0] / MEGABYTE:.0f}"
    table.add_row(f"{rows}", f"{seconds:.1f}", f"{rows / seconds:.0f}", f"{start_ms:.0f}", memory)


async def measure_claims(db: Database, workers: int, table: Table) -> None:
    """Claims of forty calls at a time, as empty workers make them; the calls are given up unended."""
    claimed = 0
    until = time.perf_counter() + CLAIM_SECONDS

    async def claim(number: int) -> None:
        nonlocal claimed
        while time.perf_counter() < until:
            found = await dialer(db, number).claim(40)
            claimed += len(found)

    began = time.perf_counter()
    await asyncio.gather(*(claim(number) for number in range(workers)))
    table.add_row(f"{workers}", f"{claimed / (time.perf_counter() - began):.0f}")


async def _measure(folder: Path, sizes: list[int], uploads: Table, claims: Table) -> None:
    async with stack(folder) as (process, projects, db):
        await send(process, projects, csv_of(1000))
        for rows in sizes:
            await measure_upload(process, projects, db, rows, uploads)
        for workers in (1, 4):
            await measure_claims(db, workers, claims)


async def main(sizes: list[int]) -> None:
    """Measure and print."""
    uploads = Table(
        "rows", "upload s", "rows/s", "answer → first claim ms", "API memory MB", title="Upload of a CSV file"
    )
    claims = Table("workers", "claims/s", title="Claims: checked, called into being, with event and evidence")
    with tempfile.TemporaryDirectory(prefix="talkstack-bench-") as name:
        await _measure(Path(name), sizes, uploads, claims)
    Console().print(uploads, claims)


if __name__ == "__main__":
    uvloop.run(main([int(size) for size in sys.argv[1:]] or [100_000]))
