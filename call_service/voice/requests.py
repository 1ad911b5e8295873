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


MAX_REQUESTS = 64
Request = Utterance | Keys | Menu | Quiet | Announcement | Close | BotLeft


class Requests:
    """What waits for the conductor, at most 64; nothing more once it `is_closed`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Request] = asyncio.Queue(MAX_REQUESTS)
        self.is_closed = False

    @property
    def are_done(self) -> bool:
        """Does none wait?"""
        return self._queue.empty()

    def put(self, request: Request) -> bool:
        """Whether there was room."""
        if self.is_closed or self._queue.full():
            return False
        self._queue.put_nowait(request)
        return True

    def end_with(self, last: Close) -> None:
        """Nothing that waits is done before it, nothing comes after it."""
        while not self._queue.empty():
            dropped = self._queue.get_nowait()
            if isinstance(dropped, Announcement) and not dropped.heard.done():  # else who asked for it has gone
                dropped.heard.set_result(False)
        self._queue.put_nowait(last)
        self.is_closed = True

    async def get(self) -> Request:
        """The next one."""
        return await self._queue.get()
