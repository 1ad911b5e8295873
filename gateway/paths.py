"""What a request target may look like, and a tree to look paths up in."""

import re
from collections.abc import Sequence
from typing import Generic, TypeVar
from urllib.parse import unquote_to_bytes

from shared.errors import ApiError

ValueT = TypeVar("ValueT")

# RFC 3986 §3.3 path-absolute; the query is any visible ASCII but `#`.
_TARGET = re.compile(r"((?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+)(?:\?[!\"$-~]*)?")
_FORBIDDEN = re.compile(r"[/\\\x00-\x1f\x7f]")


class InvalidPathError(ApiError):
    """The path of this request is malformed or not in its normal form."""

    code = "invalid_path"
    status = 400


def segments_of(target: str) -> tuple[str, ...]:
    """The decoded segments of a request target's path, as a service will see them; a trailing slash gives a last `""`.

    Raises:
        InvalidPathError: dot segments, empty segments, encoded slashes, backslashes or control characters, or no UTF-8:
            two readers could understand it differently.
    """
    match = _TARGET.fullmatch(target)
    if match is None:
        raise InvalidPathError
    path = match[1]
    segments = tuple(path[1:].split("/"))
    if "%" in path:
        segments = tuple(_decoded(segment) for segment in segments)
    if "" in segments[:-1] or "." in segments or ".." in segments:
        raise InvalidPathError
    return segments


def _decoded(segment: str) -> str:
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise InvalidPathError from error
    if _FORBIDDEN.search(text):
        raise InvalidPathError
    return text


class PathTree(Generic[ValueT]):
    """Values at path patterns such as `/call/{id}/events`, where `{…}` stands for any one segment."""

    def __init__(self) -> None:
        self._children: dict[str, PathTree[ValueT]] = {}
        self._any: PathTree[ValueT] | None = None
        self._value: ValueT | None = None

    def add(self, pattern: str, value: ValueT) -> None:
        node = self
        for segment in pattern[1:].split("/"):
            node = node._child(segment)
        node._value = value  # noqa: SLF001 - of this class

    def _child(self, segment: str) -> "PathTree[ValueT]":
        if segment.startswith("{"):
            self._any = self._any or PathTree()
            return self._any
        return self._children.setdefault(segment, PathTree())

    def exact(self, segments: Sequence[str]) -> ValueT | None:
        """The value of the pattern that fits the whole path; words win over `{…}`."""
        if not segments:
            return self._value
        for child in (self._children.get(segments[0]), self._any):
            if child is not None and (value := child.exact(segments[1:])) is not None:
                return value
        return None

    def longest(self, segments: Sequence[str]) -> ValueT | None:
        """The value of the longest pattern that fits the beginning of the path."""
        if segments:
            for child in (self._children.get(segments[0]), self._any):
                if child is not None and (value := child.longest(segments[1:])) is not None:
                    return value
        return self._value
