"""What a streaming vendor has written down, and which of it belongs to the utterance that is asked for."""

from dataclasses import dataclass, field

# The first word may be missed by the voice activity detection that finds the beginning of an utterance.
BEFORE_UTTERANCE_MS = 1500


@dataclass(frozen=True, slots=True)
class Heard:
    """The newest text of one stretch of audio; `key` tells which, in order. `end_ms` counts from the connection.

    `is_final`: it will not change. `is_flushed`: the vendor has written down all that it was sent.
    """

    key: int
    text: str
    end_ms: int
    is_final: bool
    is_flushed: bool = False


@dataclass(slots=True)
class Transcript:
    """Positions are milliseconds of audio since the connection was opened."""

    messages: int = 0
    """How many came since the utterance began; 0 means that the vendor may be deaf."""
    is_answered: bool = True
    """Has the vendor written down all that was asked for last?"""
    _said: dict[int, Heard] = field(default_factory=dict)
    _utterance: bytes = b""
    _asked_ms: int = 0
    _floor_ms: int = -1
    _unanswered_ms: int = -1  # where the question before ended, if its answer may still come
    _is_late: bool = False  # that answer has come since, so the next will

    def ask(self, pcm: bytes, duration_ms: int, position_ms: int) -> None:
        """Somebody wants the text of `pcm`, which ends before `position_ms`.

        An utterance that only grew keeps its text: it was asked for in a pause that did not last.
        """
        if not self._utterance or not pcm.startswith(self._utterance):
            self._floor_ms = max(self._asked_ms, position_ms - duration_ms - BEFORE_UTTERANCE_MS)
            self._said = {key: heard for key, heard in self._said.items() if heard.end_ms > self._floor_ms}
            self.messages = len(self._said)
        is_alone = self.is_answered or position_ms <= self._asked_ms
        self._unanswered_ms = -1 if is_alone else self._asked_ms
        self._utterance, self._asked_ms = pcm, position_ms
        self.is_answered = self._is_late = False

    def add(self, heard: Heard) -> None:
        """The vendor wrote something. What tells of nothing behind the question before is the late answer to that."""
        self.messages += 1
        if heard.is_flushed:
            self._is_late = heard.end_ms <= self._unanswered_ms
            self.is_answered = self.is_answered or not self._is_late
        self._said.pop(heard.key, None)
        if heard.text and heard.end_ms > self._floor_ms:
            self._said[heard.key] = heard

    @property
    def is_pending(self) -> bool:
        """Is more to be expected?"""
        return self._is_late or not self._said or any(not heard.is_final for heard in self._said.values())

    @property
    def text(self) -> str:
        """Of the utterance so far."""
        return " ".join(heard.text for _key, heard in sorted(self._said.items()))
