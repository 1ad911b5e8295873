"""What tests of batches share: files, uploads, and the part of a worker that claims and ends calls."""

import asyncio
import io
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import aiohttp
import openpyxl
import orjson

from call_service.batches.dialing import BatchDialer
from call_service.calls.claiming import Claimed
from call_service.calls.domain import Outcome, Status
from call_service.capacity.domain import Limits
from call_service.dialer.journal import Journal
from shared.db import Database
from tests.support.calls import LIMITS, Customer, FakeProjects

LEASE = timedelta(seconds=30)
PUBLIC = "http://127.0.0.1:8080"
ANSWERED = Outcome(Status.COMPLETED, "callee_hung_up")
BUSY = Outcome(Status.BUSY, "callee_busy", "callee", 486)
BROKEN = Outcome(Status.FAILED, "carrier_unreachable", "carrier")
ALWAYS = {"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "hours": "00:00-24:00"}


def csv_of(count: int, first: int = 0) -> bytes:
    """A file with that many numbers."""
    return b"number\n" + b"".join(b"+1202%07d\n" % (5_550_000 + first + index) for index in range(count))


def xlsx_of(rows: Sequence[Sequence[Any]]) -> bytes:
    """A workbook with these rows."""
    workbook = openpyxl.Workbook(write_only=True)
    sheet = workbook.create_sheet()
    for row in rows:
        sheet.append(row)
    file = io.BytesIO()
    workbook.save(file)
    return file.getvalue()


def form_of(content: bytes, name: str = "people.csv", **fields: Any) -> aiohttp.FormData:
    """A form as a browser sends it."""
    form = aiohttp.FormData()
    for field, value in fields.items():
        form.add_field(field, value if isinstance(value, str) else orjson.dumps(value).decode())
    form.add_field("file", io.BytesIO(content), filename=name, content_type="application/octet-stream")
    return form


async def upload(
    customer: Customer, projects: FakeProjects, content: bytes, name: str = "people.csv", **fields: Any
) -> dict[str, Any]:
    """An accepted batch, as the answer shows it."""
    form = form_of(content, name, projectId=projects.project_id, agentId=projects.agent["id"], **fields)
    async with customer.open("POST", "/call/batch-call", data=form) as response:
        answer: dict[str, Any] = await response.json()
    assert response.status == 200, answer
    batch: dict[str, Any] = answer["batch"]
    return batch


def dialer(db: Database, owner: str = "worker", price: str = "0", limits: Limits = LIMITS) -> BatchDialer:
    return BatchDialer(db, owner, LEASE, Decimal(price), PUBLIC, limits)


async def start(db: Database, claimed: Claimed) -> tuple[Journal, Outcome | None]:
    """Bring a claimed call to its start; the outcome says why it must not be dialled."""
    journal = Journal(db, claimed.call, PUBLIC)
    return journal, await journal.intend("simulated", LEASE)


async def play(db: Database, claimed: Claimed, outcome: Outcome = ANSWERED, price: str = "0") -> Outcome:
    """A call from its claim to its end; how it ended."""
    journal, refused = await start(db, claimed)
    if not refused and outcome.status is Status.COMPLETED:
        journal.advance(Status.IN_PROGRESS)
    task = asyncio.create_task(journal.run())
    assert await journal.end(refused or outcome, {}, Decimal(price), "USD")
    task.cancel()
    return refused or outcome
