"""Large files go through an API process whose memory does not grow with them."""

from pathlib import Path
from typing import Any

import aiohttp
import pytest

from shared.clock import SystemClock
from shared.db import Database
from shared.tokens import HEADER, InternalTokens, Principal
from tests.support.batches import csv_of, dialer, form_of, xlsx_of
from tests.support.call_process import Process, call_api
from tests.support.calls import SECRET, FakeProjects

MEGABYTE = 1 << 20
# What a row takes while it is kept as Python objects.
KEPT_ROW_BYTES = 600


async def send(process: Process, projects: FakeProjects, content: bytes, name: str, **fields: Any) -> dict[str, Any]:
    principal = Principal(projects.tenant, "token", scopes=("*",))
    headers = {HEADER: InternalTokens(SECRET, "gateway", SystemClock().now).sign(principal)}
    form = form_of(content, name, projectId=projects.project_id, **fields)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{process.url}/call/batch-call", data=form, headers=headers) as response,
    ):
        answer = await response.json()
    assert response.status == 200, answer
    return dict(answer["batch"])


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_memory_does_not_grow_with_the_file(
    calls_url: str, projects: FakeProjects, db: Database, tmp_path: Path, kind: str
) -> None:
    rows = {"csv": 100_000, "xlsx": 20_000}[kind]
    content = csv_of(rows)
    if kind == "xlsx":
        content = xlsx_of([[line] for line in content.decode().split()])
    window = {"days": ["mon"], "hours": "09:00-18:00"}
    async with call_api(calls_url, projects.url, tmp_path) as process:
        await send(process, projects, csv_of(2000, first=500_000), "warm.csv", window=window)
        before = process.rss_bytes()
        async with process.peak_rss() as peak:
            batch = await send(process, projects, content, f"large.{kind}", window=window)
        grown = (peak[0] - before) / MEGABYTE
    assert (batch["total"], batch["accepted"]) == (rows, rows)
    assert await db.fetchval("SELECT count(*) FROM batch_contacts WHERE batch_id = $1", batch["id"]) == rows
    assert grown < rows * KEPT_ROW_BYTES / MEGABYTE / 2


async def test_a_later_batch_is_planned_for_its_size(
    calls_url: str, projects: FakeProjects, db: Database, tmp_path: Path
) -> None:
    """With statistics about earlier batches only, finding repeated numbers once took time by the square of the rows."""
    async with call_api(calls_url, projects.url, tmp_path) as process:
        for rows in (30_000, 9_999, 30_000):  # with and without statistics of its own
            batch = await send(process, projects, csv_of(rows) + csv_of(100)[7:], "people.csv")
            assert (batch["total"], batch["accepted"]) == (rows + 100, rows)


async def test_a_hundred_thousand_contacts_begin_at_once(
    calls_url: str, projects: FakeProjects, db: Database, tmp_path: Path
) -> None:
    async with call_api(calls_url, projects.url, tmp_path) as process:
        await send(process, projects, csv_of(100_000), "large.csv")
    claimed = await dialer(db).claim(20)
    assert [one.call.batch_line for one in claimed] == list(range(2, 22))
    plan = await db.fetch(
        """EXPLAIN SELECT * FROM batch_contacts
            WHERE batch_id = $1 AND lane = '' AND state = 'pending' AND due_at <= now()
            ORDER BY due_at, line LIMIT 20""",
        claimed[0].call.batch_id,
    )
    assert "batch_contacts_due" in "\n".join(row[0] for row in plan)
