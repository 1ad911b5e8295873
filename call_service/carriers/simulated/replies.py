"""Which answer a callee gives: pure decisions, no audio."""

import re
from collections import Counter

from call_service.carriers.scripts import Conversation, Reply, matches

MAX_USES_OF_A_REPLY = 2
_SENTENCE_END = re.compile(r"(?<=[.?!])\s+")


def sentences(text: str) -> list[str]:
    """The sentences of `text`, with their punctuation."""
    return [sentence for sentence in _SENTENCE_END.split(text.strip()) if sentence]


class Dialogue:
    """One callee's side of a conversation; it always comes to an end."""

    def __init__(self, conversation: Conversation, said: str = "") -> None:
        self._conversation = conversation
        self._said = said
        self._turns = 0
        self._uses: Counter[str] = Counter()

    def answer(self, heard: str | None) -> Reply:
        """The reply to `heard`; empty text was not understood, None means that there is no recognition."""
        self._turns += 1
        reply = self._choose(heard)
        if self._turns >= self._conversation.max_turns and not reply.hang_up:
            reply = self._say(self._conversation.closing, hang_up=True)
        if reply.say_again:
            reply = reply.model_copy(update={"say": self._said or self._conversation.otherwise})
        self._said = reply.say or self._said
        return reply

    def _choose(self, heard: str | None) -> Reply:
        if heard is None:
            return self._next_in_order()
        if not heard:
            return self._say(self._conversation.unclear)
        for sentence in reversed(sentences(heard)):
            for name, reply in self._conversation.replies.items():
                if self._uses[name] < MAX_USES_OF_A_REPLY and matches(reply.match, sentence):
                    self._uses[name] += 1
                    return reply
        return self._say(self._conversation.otherwise)

    def _next_in_order(self) -> Reply:
        order = self._conversation.order
        if self._turns > len(order):
            return self._say(self._conversation.closing, hang_up=True)
        return self._conversation.replies[order[self._turns - 1]]

    @staticmethod
    def _say(text: str, *, hang_up: bool = False) -> Reply:
        return Reply(match="", say=text, hang_up=hang_up)
