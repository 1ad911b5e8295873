"""A worker with the simulated carrier calls the contacts of a batch, from the upload to `batch.completed`."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestServer

from call_service.dialer.app import build_app
from call_service.settings import WorkerSettings
from shared.db import Database
from shared.testing.waiting import eventually
from tests.support.batches import csv_of, upload
from tests.support.calls import SECRET, Customer, FakeProjects

# Callees of the simulated carrier: busy, no answer, declines, does not exist. It rejects other numbers.
CALLEES = b"".join(b"+1202555010%d\n" % index for index in (1, 2, 3, 6))


@asynccontextmanager
async def worker(database_url: str, tmp_path: Path) -> AsyncIterator[None]:
    settings = WorkerSettings(
        database_url=database_url,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        recordings_dir=tmp_path / "recordings",
        engines="null",
        ring_timeout_seconds=5,
        worker_max_calls=5,
    )
    async with TestServer(build_app(settings)):
        yield


async def finished(customer: Customer, batch_id: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}

    async def is_finished() -> bool:
        nonlocal shown
        _, shown = await customer.ask("GET", f"/batch/{batch_id}")
        return shown["completed_at"] is not None

    await eventually(is_finished, 40)
    return shown


async def test_every_contact_is_called_once(
    customer: Customer, projects: FakeProjects, db: Database, calls_url: str, tmp_path: Path
) -> None:
    async with worker(calls_url, tmp_path), worker(calls_url, tmp_path):
        batch = await upload(customer, projects, csv_of(5) + CALLEES, maxConcurrency="4")
        shown = await finished(customer, batch["id"])
    assert (shown["status"], shown["counts"]) == ("completed", {"busy": 1, "no-answer": 1, "failed": 7})
    assert await db.fetchval("SELECT count(DISTINCT to_number) FROM calls") == 9
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE type = 'call.initiated'") == 9
    assert await db.fetchval("SELECT max(fence) FROM calls") == 1


async def test_starts_keep_the_pace(
    customer: Customer, projects: FakeProjects, db: Database, calls_url: str, tmp_path: Path
) -> None:
    async with worker(calls_url, tmp_path), worker(calls_url, tmp_path):
        batch = await upload(customer, projects, csv_of(9), callsPerSecond="4")
        await finished(customer, batch["id"])
    rows = await db.fetch(
        """SELECT initiated_at, (detail->>'start_at')::timestamptz AS start_at
            FROM calls JOIN batch_decisions USING (batch_id) WHERE batch_line = line ORDER BY start_at"""
    )
    assert len(rows) == 9
    gaps = [later["start_at"] - earlier["start_at"] for earlier, later in itertools.pairwise(rows)]
    assert min(gaps) >= timedelta(milliseconds=249)
    # Nothing starts before its moment; later it may be, on a busy machine.
    assert all(row["initiated_at"] > row["start_at"] - timedelta(milliseconds=20) for row in rows)
