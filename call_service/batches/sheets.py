"""Tables from uploaded files, CSV or XLSX, read row by row in bounded memory. Blocking: run it in a thread.

Rows are numbered as a spreadsheet shows them: the header is row 1, and empty rows count.
"""

import codecs
import csv
import io
import itertools
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time
from typing import Any, BinaryIO, NamedTuple

import openpyxl

from call_service.batches.errors import FileRefusedError

MAX_COLUMNS = 100
MAX_LINE = 1 << 20
MAX_UNPACKED_BYTES = 256 << 20
# Texts that several cells share are the one part of a workbook that has to be held whole.
MAX_SHARED_TEXT_BYTES = 64 << 20
_DELIMITERS = ",;\t|"
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


class Row(NamedTuple):
    """The cells of one row under their column's name; `problem` says why they can't be told."""

    number: int
    cells: dict[str, str]
    problem: str | None = None


def read_sheet(file: BinaryIO, name: str, required: str) -> Iterator[Row]:
    """The rows of a file that is called `name`, without empty ones; `required` is a column it must have.

    `file` may be closed afterwards.

    Raises:
        FileRefusedError: at once for what concerns the whole file, later for what turns up on the way.
    """
    kind = name.lower().rpartition(".")[2]
    if kind not in {"csv", "xlsx"}:
        raise FileRefusedError("unsupported_type", "Send a .csv or .xlsx file.")
    raw = _csv_rows(file) if kind == "csv" else _xlsx_rows(file)
    header = next((row for row in raw if _is_filled(row)), None)
    if header is None:
        raise FileRefusedError("empty", "The file has no rows.")
    return _named(raw, _columns(header, required))


class _Raw(NamedTuple):
    number: int
    cells: Sequence[str]
    problem: str | None = None


def _is_filled(row: _Raw) -> bool:
    return row.problem is not None or any(cell.strip() for cell in row.cells)


def _columns(header: _Raw, required: str) -> list[str]:
    names = [name.strip() for name in header.cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MAX_COLUMNS:
        raise FileRefusedError("too_many_columns", f"The file has more than {MAX_COLUMNS} columns.")
    names = [required if name.lower() == required else name for name in names]
    if required not in names:
        raise FileRefusedError("missing_column", f"The first row has no column `{required}`.")
    doubled = {name for name in names if name and names.count(name) > 1}
    if doubled:
        raise FileRefusedError("duplicate_column", f"Two columns have the same name: {min(doubled)[:100]}.")
    return names


def _named(rows: Iterable[_Raw], columns: Sequence[str]) -> Iterator[Row]:
    for row in rows:
        if not _is_filled(row):
            continue
        problem = row.problem
        if any(cell.strip() for cell in row.cells[len(columns) :]):
            problem = problem or "The row has more cells than the header."
        cells = zip(columns, row.cells, strict=False)
        yield Row(row.number, {name: cell for name, cell in cells if name and cell.strip()}, problem)


# ---- CSV (RFC 4180, and what spreadsheets make of it) ----------------------------------------------------------------


def _csv_rows(file: BinaryIO) -> Iterator[_Raw]:
    with io.TextIOWrapper(file, _encoding(file), newline="") as text:
        first = text.readline(MAX_LINE)
        text.seek(0)
        reader = csv.reader(_lines(text), delimiter=_delimiter(first), strict=True)
        for number in itertools.count(1):
            begun = reader.line_num
            try:
                row = _Raw(number, next(reader))
            except StopIteration:
                return
            except csv.Error as error:
                if reader.line_num - begun > 1:
                    message = f"A quote opened in line {begun + 1} is not closed."
                    raise FileRefusedError("unclosed_quote", message) from error
                row = _Raw(number, (), _problem(error))
            yield row


def _problem(error: csv.Error) -> str:
    if "field larger" in str(error):
        return f"A cell has more than {csv.field_size_limit()} characters."
    return "The quotes of this row are misplaced."


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    while line := text.readline(MAX_LINE):
        if len(line) == MAX_LINE:
            raise FileRefusedError("line_too_long", f"A line is longer than {MAX_LINE} characters.")
        yield line


def _delimiter(header: str) -> str:
    """The separator that the header has most of, outside quotes; a comma where there is none."""
    outside = "".join(header.split('"')[::2])
    return max(_DELIMITERS, key=outside.count)


def _encoding(file: BinaryIO) -> str:
    """By byte order mark, else UTF-8 where all of it is that, else Windows' Western European."""
    start = file.read(4)
    file.seek(0)
    marked = next((name for bom, name in _BOMS.items() if start.startswith(bom)), None)
    decoder = codecs.getincrementaldecoder(marked or "utf-8")()
    try:
        while chunk := file.read(1 << 16):
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if marked:
            raise FileRefusedError("invalid_encoding", f"The file says it is {marked}, but is not.") from error
        return "latin-1" if _has_gaps_of_cp1252(file) else "cp1252"
    finally:
        file.seek(0)
    return marked or "utf-8"


def _has_gaps_of_cp1252(file: BinaryIO) -> bool:
    file.seek(0)
    gaps = bytes((0x81, 0x8D, 0x8F, 0x90, 0x9D))
    return any(len(chunk.translate(None, gaps)) < len(chunk) for chunk in iter(lambda: file.read(1 << 16), b""))


# ---- XLSX ------------------------------------------------------------------------------------------------------------


def _xlsx_rows(file: BinaryIO) -> Iterator[_Raw]:
    _refuse_bombs(file)
    try:
        workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
        sheet = workbook.worksheets[0]
        sheet.reset_dimensions()  # what the file claims about its size may be wrong
        rows = enumerate(sheet.iter_rows(values_only=True, max_col=MAX_COLUMNS + 1), 1)
        for number, cells in rows:
            yield _Raw(number, [_cell_text(cell) for cell in cells])
    except Exception as error:  # openpyxl raises whatever its parsers do: KeyError, TypeError, ParseError, zlib.error
        raise FileRefusedError("malformed_file", "This is no readable .xlsx file.") from error


def _refuse_bombs(file: BinaryIO) -> None:
    """By the sizes in the archive's directory, which bound what `zipfile` unpacks."""
    try:
        with zipfile.ZipFile(file) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, OSError) as error:
        raise FileRefusedError("malformed_file", "This is no readable .xlsx file.") from error
    shared = max((size for name, size in sizes.items() if "sharedstrings" in name.lower()), default=0)
    if sum(sizes.values()) > MAX_UNPACKED_BYTES or shared > MAX_SHARED_TEXT_BYTES:
        raise FileRefusedError("too_large_unpacked", "The file is too large once unpacked; send it as .csv.")
    file.seek(0)


def _cell_text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer():
            return str(int(value))
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)
