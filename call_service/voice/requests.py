"""What frames, keys and the API ask the conductor of a session for."""

import asyncio
from dataclasses import dataclass

from call_service.voice.listening import Utterance
from call_service.voice.options import Outcome
from call_service.voice.ports import Turn


@dataclass(frozen=True, slots=True)
class Keys:
    """What was typed."""

    text: str


@dataclass(frozen=True, slots=True)
class Menu:
    """A recorded menu spoke over the agent, and is to be answered."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Quiet:
    """Nobody has spoken for the silence time-out."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something to say that nobody asked for; `heard` tells whether it was heard to its end."""

    text: str
    heard: asyncio.Future[bool]


@dataclass(frozen=True, slots=True)
class Close:
    """End the call: `phrase` is said first, by a machine's beep if it is a message."""

    outcome: Outcome
    phrase: str | None
    after_beep: bool = False


@dataclass(frozen=True, slots=True)
class BotLeft:
    """The bot that held the conversation has hung up, or failed."""


Request = Utterance | Keys | Menu | Quiet | Announcement | Close | BotLeft
