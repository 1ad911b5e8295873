"""Comparing words that were said with words that were meant, or recognised."""

import re
from collections.abc import Iterator, Sequence

import jiwer

from call_service.spoken.numbers import TENS, UNITS
from call_service.spoken.words import words

_GROUPED = re.compile(r"(?<=\d),(?=\d{3}\b)")
_SPELLINGS = {"good bye": "goodbye", "ok": "okay", "alright": "all right", "mr": "mister", "p m": "pm", "a m": "am"}
_SPELLED = re.compile(rf"\b({'|'.join(_SPELLINGS)})\b")
_PARTS = re.compile(r"\d|[^\W\d]+(?:'[^\W\d]+)?")


def normalized(text: str) -> list[str]:
    """Lower-case words; numbers become their digits, one word each: "twenty five", "25" and "2 5" are the same.

    Recognisers write numbers as they like, so how they are written is no error.
    """
    found: list[str] = []
    plain = " ".join(words(_GROUPED.sub("", text).replace("-", " ")))
    said = _SPELLED.sub(lambda match: _SPELLINGS[match[1]], plain).split()
    for at, word in enumerate(said):
        after = said[at + 1] if at + 1 < len(said) else ""
        if word in TENS:
            tens = str(TENS[word])
            found += tens[0] if 0 < UNITS.get(after, 0) < 10 else tens
        elif word in UNITS:
            found += str(UNITS[word])
        elif word in {"oh", "o"} and (after in UNITS or (found and found[-1].isdigit())):
            found.append("0")
        else:
            found += _PARTS.findall(word)
    return found


def has_phrase(said: Sequence[str], phrase: str) -> bool:
    """Are the words of `phrase` in `said`, one after the other? `said` is normalised already."""
    wanted = normalized(phrase)
    return any(list(said[at : at + len(wanted)]) == wanted for at in _places(said, wanted))


def _places(said: Sequence[str], wanted: Sequence[str]) -> Iterator[int]:
    return (at for at, word in enumerate(said) if wanted and word == wanted[0])


def word_errors(said: Sequence[str], heard: Sequence[str]) -> tuple[int, int]:
    """How many words were replaced, left out or made up, and of how many that were said.

    Utterances are joined: a pause may cut one line into two turns of the transcript. A compound is one word where the
    other side writes it so: "check-up" is "checkup".
    """
    spoken, recognised = normalized(" ".join(said)), normalized(" ".join(heard))
    reference, hypothesis = _compounded(spoken, recognised), _compounded(recognised, spoken)
    if not reference:
        return len(hypothesis), 0
    found = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
    return found.substitutions + found.deletions + found.insertions, len(reference)


def _compounded(text: Sequence[str], other: Sequence[str]) -> list[str]:
    """`text`, with two words in one where they are one in `other`."""
    known, found = set(other), list[str]()
    for word in text:
        if found and found[-1] + word in known:
            found[-1] += word
        else:
            found.append(word)
    return found
