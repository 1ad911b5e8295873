"""Cuts streamed text into sentences that can be spoken as soon as they are complete."""

import re

from call_service.spoken.words import words

_ABBREVIATIONS = frozenset(
    words("dr mr mrs ms prof st sr jr vs approx apt ave blvd dept est fig inc ltd co nr tel ext")
)
_MAX_CHARS = 400
_END = re.compile(r"(?:\.{2,}|…|[.!?]+)[\"')\]]*(?=\s|$)|\n+")
_MARKDOWN = re.compile(r"[*`_~]{1,3}(?=\S)|(?<=\S)[*`_~]{1,3}|^\s*(?:#{1,6}|[-*•>])\s+", re.MULTILINE)
_ACRONYM = re.compile(r"(?:[a-z]\.)+[a-z]")
_LIST_NUMBER = re.compile(r"^\s*\d{1,2}[.)]$")


def speakable(text: str) -> str:
    """`text` without markdown, on one line."""
    return " ".join(_MARKDOWN.sub("", text).split())


class SentenceBuffer:
    """Collects text and gives back whole sentences, cleaned for speech."""

    def __init__(self) -> None:
        self._pending = ""

    def push(self, text: str) -> list[str]:
        """Sentences that are complete with `text`. The end of one is only certain once more text follows it."""
        self._pending += text
        found: list[str] = []
        while (end := _sentence_end(self._pending)) is not None:
            found.append(speakable(self._pending[:end]))
            self._pending = self._pending[end:]
        return [sentence for sentence in found if sentence]

    def flush(self) -> list[str]:
        """What is left, as one last sentence."""
        rest, self._pending = speakable(self._pending), ""
        return [rest] if rest else []


def split_sentences(text: str) -> list[str]:
    """All sentences of a complete text."""
    buffer = SentenceBuffer()
    return buffer.push(text) + buffer.flush()


def _sentence_end(text: str) -> int | None:
    for match in _END.finditer(text):
        if match.end() == len(text):
            break
        if _ends_sentence(text, match):
            return match.end()
    if len(text) > _MAX_CHARS and (cut := text.rfind(" ", 0, _MAX_CHARS)) > 0:
        return cut
    return None


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    mark, before = match[0], text[: match.start()]
    if mark[0] == "\n":
        return bool(before.strip())
    if mark[0] in "!?":
        return True
    after = text[match.end() :].lstrip(" ")
    if mark.startswith(("..", "…")):
        return bool(after) and not after[0].islower()
    word = before.split()[-1].lower().lstrip("(\"'") if before.split() else ""
    if _ACRONYM.fullmatch(word) or word == "etc":
        return word != "e.g" and after[:1].isupper()
    if word in _ABBREVIATIONS:
        return False
    initial = len(word) == 1 and word.isalpha() and word != "i"
    return not initial and not _LIST_NUMBER.match(before.rsplit("\n", 1)[-1] + ".")
