"""The layout of somebody's instructions: headings, lists, "key: value" lines, questions with answers, prose."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from call_service.spoken.words import straight
from call_service.voice.brain.sentences import split_sentences

_MAX_CHARS = 20_000
_TAG = re.compile(r"</?([A-Za-z][\w -]*)/?>")
_MARKS = re.compile(r"[*_`]{1,3}(?=\S)|(?<=\S)[*_`]{1,3}|[{}]")
_ELEMENT = re.compile(r"<(?P<tag>[A-Za-z][\w -]*)>\s*(?P<text>[^<\n]+?)\s*</(?P=tag)>")
_JSON_PAIR = re.compile(r'^"(?P<key>[^"]+)"\s*:\s*"?(?P<value>.*?)"?,?$')
_HASH = re.compile(r"^\s*(?:#{1,6}|={2,}|-{3,}|>)\s*")
_BULLET = re.compile(r"^\s*(?:[-*•·\N{EN DASH}\N{EM DASH}+▪●✓]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+")
_PAIR = re.compile(r"^(?P<key>[A-Za-z][\w '&/()-]{0,40}?)\s*(?:[:=]|\s[-\N{EN DASH}\N{EM DASH}])\s+(?P<value>\S.*)$")
_ROW = re.compile(r"^\|(?P<key>[^|]+)\|(?P<value>[^|]+)\|?.*$")
_RULE_ROW = re.compile(r"^\|?[\s|:-]+\|?$")
_QUESTION_LABEL = re.compile(r"^(?:q|question)\s*\d*\s*[:.)]\s*", re.IGNORECASE)
_ANSWER_LABEL = re.compile(r"(?:^|\s)(?:a|answer)\s*\d*\s*[:.)]\s*", re.IGNORECASE)
_INLINE_ANSWER = re.compile(r"^(?P<question>[^?.!:]{4,120}\?)\s+(?:[-\N{EN DASH}\N{EM DASH}:]\s*)?(?P<answer>\S.*)$")
_NOT_A_KEY = re.compile(r"^(if|when|whenever|unless|say|ask|tell|then|and|or|please)\b", re.IGNORECASE)
_MAX_KEY_WORDS, _MAX_HEADING_WORDS = 5, 8


@dataclass(frozen=True, slots=True)
class Passage:
    """One unit of the text. `key` is the key of a pair or the question of an `answer`."""

    kind: Literal["sentence", "item", "pair", "answer"]
    text: str
    heading: str = ""
    key: str = ""


def passages(instructions: str) -> list[Passage]:
    """All passages in order. Anything beyond 20 000 characters is not read."""
    text = re.sub(r"\bu r\b|\bu are\b|\bur\b", "you are", straight(instructions[:_MAX_CHARS]))
    return list(_Reader().read(text))


class _Reader:
    def __init__(self) -> None:
        self._heading = ""
        self._under_items = False
        self._question = ""
        self._prose: list[str] = []

    def read(self, text: str) -> Iterator[Passage]:
        lines = _TAG.sub(r"\n# \1\n", _ELEMENT.sub(r"\n\g<tag>: \g<text>\n", text)).splitlines()
        for line, following in pairwise([*lines, ""]):
            if not (line.startswith("|") and "-" in following and _RULE_ROW.match(following)):  # no table header
                yield from self._line(line)
        yield from self._flush()

    def _line(self, raw: str) -> Iterator[Passage]:
        bulleted = bool(_BULLET.match(raw))
        line = _MARKS.sub("", _BULLET.sub("", raw)).strip().strip(",").strip()
        if not line or _RULE_ROW.match(line):
            yield from self._flush()
            return
        heading = None if bulleted else _heading(line)
        if heading is not None:
            yield from self._flush()
            self._heading, self._under_items, self._question = heading, False, ""
            return
        line = _JSON_PAIR.sub(r"\g<key>: \g<value>", _HASH.sub("", line))
        found = self._labelled(line) or ([] if self._question else self._paired(line))
        if found or bulleted:
            yield from self._flush()
            self._under_items = True
            yield from found or [Passage("item", line, self._heading)]
        elif not self._question:
            self._prose.append(line)

    def _labelled(self, line: str) -> list[Passage]:
        """Answers: to the question of the line before, or to one in the same line."""
        if self._question:
            question, self._question = self._question, ""
            return [Passage("answer", _ANSWER_LABEL.sub("", line, count=1).strip(), self._heading, question)]
        labelled = bool(_QUESTION_LABEL.match(line))
        inline = _INLINE_ANSWER.match(_QUESTION_LABEL.sub("", line))
        if inline and (labelled or not _NOT_A_KEY.match(line)):
            answer = _ANSWER_LABEL.sub("", inline["answer"], count=1).strip()
            return [Passage("answer", answer, self._heading, inline["question"])] if "?" not in answer else []
        if labelled or (
            line.endswith("?") and re.search(r"\b(faq|questions and answers|q ?& ?a)\b", self._heading, re.IGNORECASE)
        ):
            self._question = _QUESTION_LABEL.sub("", line)
        return []

    def _paired(self, line: str) -> list[Passage]:
        match = _ROW.match(line) or _PAIR.match(line)
        key = match["key"].strip() if match else ""
        if not match or _NOT_A_KEY.match(line) or len(key.split()) > _MAX_KEY_WORDS:
            return []
        return [Passage("pair", match["value"].strip(), self._heading, key)]

    def _flush(self) -> Iterator[Passage]:
        text, self._prose = " ".join(self._prose), []
        if text and self._under_items:
            self._heading, self._under_items = "", False
        for sentence in split_sentences(text):
            yield Passage("sentence", sentence, self._heading)


def _heading(line: str) -> str | None:
    """The heading that `line` is, or None."""
    bare = _HASH.sub("", line).rstrip("=-# ").strip()
    short = len(bare.split()) <= _MAX_HEADING_WORDS
    if not bare:
        return ""
    if short and (line.startswith(("#", "==")) or line.rstrip().endswith(":")):
        return bare.rstrip(":").strip()
    if re.fullmatch(r"\[[^\]]+\]", bare):
        return bare.strip("[]")
    return bare if short and bare.isupper() and not re.search(r"[.?!:]", bare) and len(bare) > 3 else None
