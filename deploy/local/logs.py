"""The log files of the stack, merged by time and made readable."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

POLL_SECONDS = 0.2
# What a line begins with (and the service, which its file names); the rest of a record follows as name=value.
HEAD = ("timestamp", "level", "message", "service")


@dataclass(frozen=True, order=True)
class Line:
    """One line of a log; `when` is its own time, or that of the line before it."""

    when: str
    name: str
    text: str


def parse(name: str, raw: str, before: str = "") -> Line:
    """Read one line of a process's log: a JSON record, or whatever a program of others prints.

    Args:
        name: of the process.
        raw: the line.
        before: the time of the line before it, ISO 8601.
    """
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict):
        return Line(_leading_time(raw) or before, name, raw)
    when = str(record.get("timestamp", before))
    return Line(when, name, _readable(record))


def _readable(record: dict[str, Any]) -> str:
    rest = [f"{key}={value}" for key, value in record.items() if key not in HEAD]
    clock = str(record.get("timestamp", ""))[11:23]
    return " ".join([clock, str(record.get("level", "")).upper().ljust(7), str(record.get("message", "")), *rest])


def _leading_time(raw: str) -> str | None:
    """The time at the start of a line of Postgres, RabbitMQ or Python's logging, in UTC like ours."""
    text = raw[:23].replace(",", ".")
    for length in (23, 19):
        try:
            return datetime.fromisoformat(text[:length]).replace(tzinfo=UTC).isoformat()
        except ValueError:
            continue
    return None


def recent(files: list[Path], count: int) -> list[Line]:
    """The last `count` lines of all files together, in order of time."""
    lines: list[Line] = []
    for file in files:
        before = ""
        for raw in file.read_text(errors="replace").splitlines()[-count:]:
            lines.append(parse(file.stem, raw, before))
            before = lines[-1].when
    return sorted(lines, key=lambda line: line.when)[-count:]


def follow(directory: Path, names: tuple[str, ...]) -> Iterator[Line]:
    """Lines as they are written after this call, also of files that appear later; never ends."""
    return _follow(directory, names, {file: file.stat().st_size for file in log_files(directory, names)})


def _follow(directory: Path, names: tuple[str, ...], positions: dict[Path, int]) -> Iterator[Line]:
    while True:
        for file in log_files(directory, names):
            text, positions[file] = _read_whole_lines(file, positions.get(file, 0))
            for raw in text.splitlines():
                yield parse(file.stem, raw)
        time.sleep(POLL_SECONDS)


def _read_whole_lines(file: Path, position: int) -> tuple[str, int]:
    """What was written after a position, up to the last end of a line, and the position there."""
    with file.open("rb") as handle:
        if file.stat().st_size < position:
            position = 0  # the file was begun anew
        handle.seek(position)
        whole, newline, _ = handle.read().rpartition(b"\n")
    return whole.decode(errors="replace"), position + len(whole) + len(newline)


def log_files(directory: Path, names: tuple[str, ...]) -> list[Path]:
    """The log files of the named processes; of all when none is named."""
    return [file for file in sorted(directory.glob("*.log")) if not names or file.stem in names]
