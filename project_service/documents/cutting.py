"""Cuts a text into passages that are short enough to be found by meaning, and long enough to have one."""

import re
from collections.abc import Iterator

# The model of embeddings reads 256 tokens, which are about 180 words of English.
MAX_WORDS = 120
# What has no blanks, such as Chinese or base64, is cut by its length.
MAX_CHARS = 1_000
_MARK = re.compile(r"#{1,6}(?=\s)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_BLANK = re.compile(r"\n\s*\n|\f")


def passages_of(text: str) -> list[str]:
    """Passages of at most 120 words and 1,000 characters, in order, each behind the markdown heading above it."""
    found: list[str] = []
    heading, gathered = "", list[str]()
    for part in _parts(text):
        named = _heading(part)
        if named or not _fits(heading, *gathered, part):
            found += _joined(heading, gathered)
            gathered = []
        if named:
            heading = named[:200]
        else:
            gathered.append(part)
    return found + _joined(heading, gathered)


def _heading(line: str) -> str:
    """The text of a heading, empty where it is none. One expression for all of it takes quadratic time."""
    mark = _MARK.match(line)
    return line[mark.end() :].strip().rstrip("#").rstrip() if mark else ""


def _parts(text: str) -> Iterator[str]:
    """Headings, and paragraphs; of long paragraphs their sentences, of long sentences pieces."""
    for paragraph in _BLANK.split(text.replace("\r\n", "\n").replace("\r", "\n")):
        yield from _without_headings(paragraph.strip("\n"))


def _without_headings(paragraph: str) -> Iterator[str]:
    lines: list[str] = []
    for line in paragraph.split("\n"):
        if _heading(line.strip()):
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
    if _fits(joined):
        yield joined
        return
    for sentence in _SENTENCE.split(joined):
        yield from _pieces(sentence)


def _pieces(sentence: str) -> Iterator[str]:
    gathered, chars = list[str](), 0
    for word in sentence.split():
        for at in range(0, len(word), MAX_CHARS):
            piece = word[at : at + MAX_CHARS]
            if gathered and (len(gathered) == MAX_WORDS or chars + len(piece) > MAX_CHARS):
                yield " ".join(gathered)
                gathered, chars = [], 0
            gathered.append(piece)
            chars += len(piece) + 1
    if gathered:
        yield " ".join(gathered)


def _fits(*texts: str) -> bool:
    return sum(map(len, texts)) <= MAX_CHARS and sum(len(text.split()) for text in texts) <= MAX_WORDS


def _joined(heading: str, parts: list[str]) -> list[str]:
    return [(f"{heading}: " if heading else "") + " ".join(parts)] if parts else []
