"""Cuts a text into passages that are short enough to be found by meaning, and long enough to have one."""

import re
from collections.abc import Iterator

# The model of embeddings reads 256 tokens, which are about 180 words of English.
MAX_WORDS = 120
_HEADING = re.compile(r"^#{1,6}\s+(?P<text>.+?)\s*#*$")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_BLANK = re.compile(r"\n\s*\n|\f")


def passages_of(text: str) -> list[str]:
    """Passages of at most 120 words, in order. A markdown heading stands before each passage below it."""
    found: list[str] = []
    heading, gathered = "", list[str]()
    for part in _parts(text):
        named = _HEADING.match(part)
        if named or _words(heading, *gathered, part) > MAX_WORDS:
            found += _joined(heading, gathered)
            gathered = []
        if named:
            heading = named["text"][:200]
        else:
            gathered.append(part)
    return found + _joined(heading, gathered)


def _parts(text: str) -> Iterator[str]:
    """Headings, and paragraphs; of long paragraphs their sentences, of long sentences pieces."""
    for paragraph in _BLANK.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        yield from _without_headings(paragraph.strip("\n"))


def _without_headings(paragraph: str) -> Iterator[str]:
    lines: list[str] = []
    for line in paragraph.split("\n"):
        if _HEADING.match(line.strip()):
            yield from _short("\n".join(lines))
            yield line.strip()
            lines = []
        else:
            lines.append(line)
    yield from _short("\n".join(lines))


def _short(paragraph: str) -> Iterator[str]:
    joined = " ".join(paragraph.split())
    if not joined:
        return
    if _words(joined) <= MAX_WORDS:
        yield joined
        return
    for sentence in _SENTENCE.split(joined):
        words = sentence.split()
        for at in range(0, len(words), MAX_WORDS):
            yield " ".join(words[at : at + MAX_WORDS])


def _words(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)


def _joined(heading: str, parts: list[str]) -> list[str]:
    return [(f"{heading}: " if heading else "") + " ".join(parts)] if parts else []
