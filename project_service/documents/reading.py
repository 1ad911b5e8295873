"""From an uploaded file to its text."""

import asyncio
import sys
from pathlib import Path

import structlog

from project_service.documents.errors import DocumentReadersBusyError, DocumentUnreadableError
from project_service.documents.pdf import BROKEN, ENCRYPTED
from project_service.documents.schemas import Kind
from shared import programs
from shared.errors import InternalError
from shared.fair_places import FairPlaces, NoPlaceError
from shared.forms import UploadedFile

log = structlog.get_logger(__name__)

MAX_BYTES = 10 * 1024 * 1024
# Together less than the 60 s that the gateway waits.
PDF_SECONDS = 30.0
PATIENCE_SECONDS = 20.0
_KINDS: dict[str, Kind] = {".txt": "text", ".md": "markdown", ".markdown": "markdown", ".pdf": "pdf"}
_PROGRAM = Path(__file__).with_name("pdf.py")


def pdf_places() -> FairPlaces:
    """Two PDFs at a time, of two tenants; each that waits is a file of up to 10 MiB on the disk."""
    return FairPlaces(2, waiting=32, of_one=4, patience_seconds=PATIENCE_SECONDS)


class Reader:
    """Reads files, a few PDFs at a time."""

    def __init__(self, *, places: FairPlaces | None = None, pdf_seconds: float = PDF_SECONDS) -> None:
        self._places = places or pdf_places()
        self._pdf_seconds = pdf_seconds

    async def read(self, tenant: str, file: UploadedFile) -> tuple[Kind, int, str]:
        """What it is, its size in bytes, and its text. Raises DocumentUnreadableError, DocumentReadersBusyError."""
        kind = _KINDS.get(Path(file.name).suffix.lower())
        if kind is None:
            raise DocumentUnreadableError("file: Send a .txt, .md or .pdf file.")
        size = await asyncio.to_thread(file.content.seek, 0, 2)
        await asyncio.to_thread(file.content.seek, 0)
        if size > MAX_BYTES:
            raise DocumentUnreadableError("file: A document may have 10 MiB.")
        text = await self._pdf(tenant, file) if kind == "pdf" else await asyncio.to_thread(_text, file)
        return kind, size, text

    async def _pdf(self, tenant: str, file: UploadedFile) -> str:
        try:
            async with self._places.place(tenant):
                done = await programs.run((sys.executable, "-I", str(_PROGRAM)), file.content, self._pdf_seconds)
        except NoPlaceError:
            raise DocumentReadersBusyError from None
        except TimeoutError:
            raise DocumentUnreadableError("file: Reading this PDF takes too long.") from None
        if done.status == ENCRYPTED:
            raise DocumentUnreadableError("file: This PDF is encrypted.")
        if done.status == BROKEN:
            raise DocumentUnreadableError("file: This is no PDF, or it is broken.")
        if done.status:
            log.error("pdf_reader_failed", exit_status=done.status)
            raise InternalError
        return done.output.decode().replace("\x00", " ")


def _text(file: UploadedFile) -> str:
    try:
        text = file.content.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentUnreadableError("file: The text is not UTF-8.") from None
    if "\x00" in text:
        raise DocumentUnreadableError("file: This is no text.")
    return text
