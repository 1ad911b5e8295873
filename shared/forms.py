"""`multipart/form-data` bodies (RFC 7578): read as a stream, fields into memory, files to disk."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO

from aiohttp import BodyPartReader, ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError
from pydantic import WithJsonSchema

from shared.errors import BodyTooLargeError, InvalidRequestError, UnsupportedMediaTypeError

MAX_FIELDS = 50
MAX_FIELD_BYTES = 64 * 1024
_WRITE_BYTES = 1 << 20
# Whatever the library raises about a broken body.
_PARSER_ERRORS = (ValueError, AssertionError, LookupError, RuntimeError, HttpProcessingError, ClientPayloadError)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file as the client called it, on disk until the request is answered; to be read in a thread.

    `digest` is the SHA-256 of its content in hexadecimal digits.
    """

    name: str
    content: BinaryIO
    digest: str


Upload = Annotated[UploadedFile, WithJsonSchema({"type": "string", "contentMediaType": "application/octet-stream"})]


class MalformedFormError(InvalidRequestError):
    """The body is not valid multipart/form-data."""

    code = "malformed_form"


@asynccontextmanager
async def received(request: web.Request, max_bytes: int) -> AsyncIterator[dict[str, Any]]:
    """The fields of the form as text, and its files as `UploadedFile`s that go when the block ends.

    Raises:
        UnsupportedMediaTypeError: another content type.
        BodyTooLargeError: more than `max_bytes` in all, or a field that is no file has more than 64 KiB.
        MalformedFormError: broken multipart, a field twice, or more than 50.
    """
    if request.content_type != "multipart/form-data":
        raise UnsupportedMediaTypeError("Send the body as multipart/form-data.")
    if (request.content_length or 0) > max_bytes:
        raise BodyTooLargeError(f"The body is larger than {max_bytes} bytes.")
    with ExitStack() as files:
        try:
            values = await _read(request, max_bytes, files)
        except _PARSER_ERRORS as error:
            raise MalformedFormError from error
        yield values


async def _read(request: web.Request, max_bytes: int, files: ExitStack) -> dict[str, Any]:
    values: dict[str, Any] = {}
    left = max_bytes
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or not part.name:
            raise MalformedFormError("Each part needs a name in its Content-Disposition.")
        if part.name in values or len(values) == MAX_FIELDS:
            raise MalformedFormError(f"The field {part.name[:100]!r} comes twice, or there are too many fields.")
        if not _is_text(part.name) or not _is_text(part.filename or ""):
            raise MalformedFormError("A name in a Content-Disposition is not UTF-8, or contains the character U+0000.")
        if part.filename is None:
            values[part.name] = text = await _field(part)
            left -= len(text)
        else:
            file = files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
            size, digest = await _spool(part, file, left)
            values[part.name] = UploadedFile(part.filename, file, digest)
            left -= size
    return values


def _is_text(name: str) -> bool:
    """Bytes that are not UTF-8 come as surrogates."""
    return "\x00" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)


async def _field(part: BodyPartReader) -> str:
    raw = bytearray()
    while chunk := await part.read_chunk():
        raw += chunk
        if len(raw) > MAX_FIELD_BYTES:
            raise BodyTooLargeError(f"A field is larger than {MAX_FIELD_BYTES} bytes.")
    text = raw.decode()
    if "\x00" in text:
        raise MalformedFormError("A field contains the character U+0000, which is not allowed.")
    return text


async def _spool(part: BodyPartReader, file: BinaryIO, limit: int) -> tuple[int, str]:
    """Copy a part to `file`; its size and SHA-256. The disk is written in a thread, a megabyte at a time."""
    size, digest, pending = 0, hashlib.sha256(), bytearray()
    while chunk := await part.read_chunk(1 << 16):
        size += len(chunk)
        if size > limit:
            raise BodyTooLargeError
        digest.update(chunk)
        pending += chunk
        if len(pending) >= _WRITE_BYTES:
            await asyncio.to_thread(file.write, bytes(pending))
            pending.clear()
    await asyncio.to_thread(file.write, bytes(pending))
    file.seek(0)
    return size, digest.hexdigest()
