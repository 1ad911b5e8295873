"""A bot that its owner wrote and runs: it hears the callee all the time, and speaks and falls silent when it likes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from call_service.voice.fallback import Switch
from call_service.voice.ports import EngineError, Recognizer

PATIENCE = timedelta(seconds=5)


class BotListener(Protocol):
    """Hears what the bot sends. Called on the event loop; must not block."""

    def on_sound(self, pcm: bytes) -> None:
        """More to play, behind what came before; of any length."""

    def on_clear(self) -> None:
        """Drop what was not played yet."""

    def on_mark(self, name: str) -> None:
        """Tell the bot once everything before this was played or dropped."""

    def on_end(self, error: EngineError | None) -> None:
        """The last thing: it has hung up, or failed."""


class Bot(Protocol):
    """A bot at the end of a connection of one call."""

    def begin(self, listener: BotListener) -> None:
        """The call was answered: connect."""

    def hear(self, frame: bytes) -> None:
        """20 ms of the callee."""

    def press(self, digit: str) -> None:
        """The callee pressed a key."""

    def played(self, mark: str) -> None:
        """What came before the mark was played or dropped."""

    def abandon(self) -> None:
        """Close the connection; nothing more is heard of it."""


@dataclass(frozen=True, slots=True)
class BotAtWork:
    """A call's bot. `recognizer` writes down what it says, `on_switch` hears when the pipeline takes over from it.

    It has failed when the callee is owed an answer for longer than `patience`; None: for as long as it likes.
    """

    name: str
    bot: Bot
    recognizer: Recognizer
    on_switch: Callable[[Switch], None]
    patience: timedelta | None = PATIENCE
