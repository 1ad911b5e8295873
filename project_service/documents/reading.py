"""From an uploaded file to its text."""

import asyncio
import sys
from pathlib import Path

from project_service.documents.errors import DocumentUnreadableError
from project_service.documents.pdf import ENCRYPTED
from project_service.documents.schemas import Kind
from shared.forms import UploadedFile

MAX_BYTES = 10 * 1024 * 1024
PDF_SECONDS = 30.0
_KINDS: dict[str, Kind] = {".txt": "text", ".md": "markdown", ".markdown": "markdown", ".pdf": "pdf"}
_PROGRAM = Path(__file__).with_name("pdf.py")


class Reader:
    """Reads files, a few PDFs at a time."""

    def __init__(self, *, at_once: int = 2, pdf_seconds: float = PDF_SECONDS) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._pdf_seconds = pdf_seconds

    async def read(self, file: UploadedFile) -> tuple[Kind, int, str]:
        """What it is, its size in bytes, and its text. Raises DocumentUnreadableError."""
        kind = _KINDS.get(Path(file.name).suffix.lower())
        if kind is None:
            raise DocumentUnreadableError("file: Send a .txt, .md or .pdf file.")
        size = await asyncio.to_thread(file.content.seek, 0, 2)
        await asyncio.to_thread(file.content.seek, 0)
        if size > MAX_BYTES:
            raise DocumentUnreadableError("file: A document may have 10 MiB.")
        text = await self._pdf(file) if kind == "pdf" else await asyncio.to_thread(_text, file)
        return kind, size, text

    async def _pdf(self, file: UploadedFile) -> str:
        async with self._places:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(_PROGRAM),
                stdin=file.content.fileno(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(self._pdf_seconds):
                    output, _ = await process.communicate()
            except TimeoutError:
                raise DocumentUnreadableError("file: Reading this PDF takes too long.") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode == ENCRYPTED:
            raise DocumentUnreadableError("file: This PDF is encrypted.")
        if process.returncode:
            raise DocumentUnreadableError("file: This is no PDF, or it is broken.")
        return output.decode().replace("\x00", " ")


def _text(file: UploadedFile) -> str:
    try:
        text = file.content.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DocumentUnreadableError("file: The text is not UTF-8.") from None
    if "\x00" in text:
        raise DocumentUnreadableError("file: This is no text.")
    return text
