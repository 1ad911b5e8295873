"""The result file of a batch: one line for each row of the upload, as CSV that spreadsheets can open safely."""

import csv
import io
import re
from collections.abc import AsyncIterator

import orjson

from call_service.batches import repository
from call_service.batches.domain import Batch, Contact
from call_service.batches.service import as_left_by
from shared.clock import rfc3339
from shared.db import Database

PAGE_ROWS = 1000
COLUMNS = ("row", "number", "state", "reason", "attempts", "call_id", "ended_at", "dynamicVariables")
_NUMBER = re.compile(r"[+-]?[0-9.]+")


async def result_lines(db: Database, batch: Batch) -> AsyncIterator[bytes]:
    """The file in pieces; each page is read on its own, so that a slow reader holds no connection."""
    yield _lines([COLUMNS])
    after = 0
    while page := await repository.contacts(db, batch.tenant, batch.id, after, PAGE_ROWS):
        yield _lines([_cells(as_left_by(batch, contact)) for contact in page])
        after = page[-1].line


def _cells(contact: Contact) -> tuple[str, ...]:
    cells = (
        str(contact.line),
        contact.number,
        contact.state,
        contact.reason or "",
        str(contact.attempts),
        contact.call_id or "",
        rfc3339(contact.ended_at) if contact.ended_at else "",
        orjson.dumps(contact.variables).decode(),
    )
    return tuple(harmless(cell) for cell in cells)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula (https://owasp.org/www-community/attacks/CSV_Injection).

    Plain numbers stay as they are, so that phone numbers can be uploaded again.
    """
    if cell[:1] in {"=", "+", "-", "@", "\t", "\r", "\n"} and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def _lines(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
