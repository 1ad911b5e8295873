"""From an uploaded file to stored contacts, a chunk of rows at a time: memory does not grow with the file."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice

import orjson

from call_service.batches.errors import FileRefusedError
from call_service.batches.sheets import Row, read_sheet
from call_service.batches.verdicts import NUMBER, Judge, Verdict
from shared.forms import UploadedFile

CHUNK_ROWS = 500
# How many rejected rows an answer lists; the result file has them all.
MAX_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Destination:
    """Whose contacts they become, and when they are due."""

    batch_id: str
    tenant: str
    due_at: datetime


@dataclass(slots=True)
class Tally:
    """The verdicts so far; `rejected` holds the first of them."""

    total: int = 0
    accepted: int = 0
    rejected: list[tuple[int, str, str]] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        self.total += 1
        if verdict.reason is None:
            self.accepted += 1
        elif len(self.rejected) < MAX_LISTED:
            self.rejected.append((verdict.line, verdict.number, verdict.reason))

    def reject(self, count: int, listed: list[tuple[int, str, str]]) -> None:
        """Take back `count` accepted ones, of which `listed` are shown."""
        self.accepted -= count
        self.rejected = sorted(self.rejected + listed)[:MAX_LISTED]


async def judged_lines(
    file: UploadedFile, judge: Judge, tally: Tally, to: Destination, max_rows: int
) -> AsyncIterator[bytes]:
    """The rows of a file as lines for COPY, read and judged in a thread.

    Raises:
        FileRefusedError: also in the middle; then nothing of the file may stay.
    """
    rows = await asyncio.to_thread(read_sheet, file.content, file.name, NUMBER)
    while chunk := await asyncio.to_thread(_next_lines, rows, judge, tally, to):
        if tally.total > max_rows:
            raise FileRefusedError("too_many_rows", f"The file has more than {max_rows} rows.")
        yield chunk
    if tally.total == 0:
        raise FileRefusedError("empty", "The file has no rows below its header.")


def _next_lines(rows: Iterator[Row], judge: Judge, tally: Tally, to: Destination) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    due_at = to.due_at.isoformat()
    for row in islice(rows, CHUNK_ROWS):
        verdict = judge.verdict(row)
        tally.add(verdict)
        state = "pending" if verdict.reason is None else "rejected"
        variables = orjson.dumps(verdict.variables).decode()
        line = (verdict.line, to.tenant, verdict.number, verdict.lane, variables, state, verdict.reason, due_at)
        writer.writerow((to.batch_id, *line))
    return text.getvalue().encode()
