"""Never dead air: each stage of a call has engines in order of preference, and a late one counts as a broken one.

An engine that failed is left alone for a while and tried again after it. The last one of a chain is waited for as long
as the session waits: there is nothing better to do.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from itertools import zip_longest
from typing import Generic, Literal, TypeVar

import structlog

from call_service.carriers.port import BYTES_PER_MS
from call_service.voice.ports import (
    BrainOutput,
    Collected,
    Conversation,
    EngineError,
    Recognizer,
    Say,
    Synthesizer,
    Turn,
    Working,
)
from call_service.voice.synthesis import InPieces
from shared.providers import LOCAL_PROVIDERS

log = structlog.get_logger(__name__)

Stage = Literal["stt", "llm", "tts", "s2s"]
REST = timedelta(seconds=30)
# Of the first useful result: text, a whole sentence, audio.
BUDGETS: dict[Stage, timedelta] = {
    "stt": timedelta(milliseconds=800),
    "llm": timedelta(milliseconds=1200),
    "tts": timedelta(milliseconds=800),
    "s2s": timedelta(milliseconds=1500),
}
# Speech that falls so far behind its playing has broken off, and whoever takes over begins a little before that place.
STALL = timedelta(milliseconds=500)
OVERLAP_BYTES = 300 * BYTES_PER_MS
# What an operator runs on its own machines is slower than a vendor, and does not go away.
SLOWER = 3

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Switch:
    """One engine took over from another. `why` is `late` or `failed`; `error` says it for the log."""

    stage: Stage
    engine: str
    successor: str
    why: Literal["late", "failed"]
    error: str


@dataclass(slots=True)
class _Link(Generic[T]):
    name: str
    engine: T
    rests_until: float = 0.0


class Chain(Generic[T]):
    """The engines of one stage of one call, by name, best first; `on_switch` hears of every change."""

    def __init__(self, stage: Stage, engines: Sequence[tuple[str, T]], on_switch: Callable[[Switch], None]) -> None:
        self.stage = stage
        self._links = [_Link(name, engine) for name, engine in engines]
        self._on_switch = on_switch

    @property
    def preferred(self) -> T:
        """The one that is used next."""
        return self._order()[0].engine

    def attempts(self) -> Iterator["Attempt[T]"]:
        """Those that do not rest come first, and the others still: a broken engine is better than none."""
        links = self._order()
        for link, successor in zip_longest(links, links[1:]):
            yield Attempt(self, link, successor)

    async def first(self, use: Callable[[T], Awaitable[R]]) -> R:
        """What the first engine makes of it that is in time.

        Raises:
            EngineError: of the last one.
        """
        for attempt in self.attempts():
            try:
                async with asyncio.timeout(attempt.seconds):
                    return await use(attempt.engine)
            except Exception as error:  # noqa: BLE001 # it is given to the successor's announcement, or raised
                attempt.give_up(error)
        raise EngineError(self.stage, "there is no engine")

    def switched(self, link: _Link[T], successor: _Link[T], error: Exception) -> None:
        """Let `link` rest, and tell."""
        link.rests_until = asyncio.get_running_loop().time() + REST.total_seconds()
        why: Literal["late", "failed"] = "late" if isinstance(error, TimeoutError) else "failed"
        self._on_switch(Switch(self.stage, link.name, successor.name, why, str(error) or type(error).__name__))

    def _order(self) -> list[_Link[T]]:
        now = asyncio.get_running_loop().time()
        return sorted(self._links, key=lambda link: link.rests_until > now)


class Attempt(Generic[T]):
    """One engine's chance."""

    def __init__(self, chain: Chain[T], link: _Link[T], successor: _Link[T] | None) -> None:
        self._chain = chain
        self._link = link
        self._successor = successor

    @property
    def engine(self) -> T:
        """Whose chance it is."""
        return self._link.engine

    @property
    def seconds(self) -> float | None:
        """How long it may take; None when nobody could take over."""
        slower = SLOWER if self._link.name in LOCAL_PROVIDERS else 1
        return BUDGETS[self._chain.stage].total_seconds() * slower if self._successor else None

    def give_up(self, error: Exception) -> None:
        """It was late or broke: the successor takes over.

        Raises:
            EngineError: there is none.
        """
        if self._successor:
            self._chain.switched(self._link, self._successor, error)
        elif isinstance(error, EngineError):
            raise error
        else:
            raise EngineError(self._chain.stage, f"{type(error).__name__}: {error}") from error


class FallbackRecognizer:
    """A `Recognizer` of several."""

    def __init__(self, chain: Chain[Recognizer]) -> None:
        self._chain = chain

    @property
    def is_busy(self) -> bool:
        """Is the one that would be asked?"""
        return self._chain.preferred.is_busy

    async def recognize(self, pcm: bytes) -> str:
        """Raises EngineError: stage `stt`."""
        return await self._chain.first(lambda engine: engine.recognize(pcm))


class FallbackSynthesizer(InPieces):
    """A `Synthesizer` of several. Silence is no speech: an engine that gives nothing audible has failed.

    Where one breaks off in mid-sentence, the next goes on at the same time of its own sentence.
    """

    def __init__(self, chain: Chain[Synthesizer]) -> None:
        self._chain = chain

    async def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:
        """Raises EngineError: stage `tts`."""
        given = 0
        for attempt in self._chain.attempts():
            place, skipped = 0, max(0, given - OVERLAP_BYTES)
            try:
                async with aclosing(_keeping_up(attempt.engine.stream(text, voice_id), attempt.seconds)) as pieces:
                    async for piece in pieces:
                        fresh = piece[max(0, skipped - place) :]
                        place += len(piece)
                        if fresh:
                            given = place
                            yield fresh
            except Exception as error:  # noqa: BLE001 # it is given to the successor's announcement, or raised
                attempt.give_up(error)
            else:
                return


class FallbackConversation:
    """A `Conversation` of several brains. What one has said already is not said again by the one that takes over.

    A brain that answers nothing has failed; when it is the last, the agent says `repeat`.
    """

    def __init__(self, chain: Chain[Conversation], repeat: str) -> None:
        self._chain = chain
        self._repeat = repeat

    def opening(self) -> AsyncGenerator[BrainOutput]:
        """What the agent says first. Raises EngineError: stage `llm`."""
        return self._outputs(lambda brain: brain.opening())

    def reply(self, heard: str, history: Sequence[Turn]) -> AsyncGenerator[BrainOutput]:
        """The answer to the callee. Raises EngineError: stage `llm`."""
        return self._outputs(lambda brain: brain.reply(heard, history))

    def silence(self, count: int) -> AsyncGenerator[BrainOutput]:
        """What to say into the silence. Raises EngineError: stage `llm`."""
        return self._outputs(lambda brain: brain.silence(count))

    async def _outputs(self, ask: Callable[[Conversation], AsyncIterator[BrainOutput]]) -> AsyncGenerator[BrainOutput]:
        given: list[BrainOutput] = []
        for attempt in self._chain.attempts():
            before = tuple(given)
            outputs = ask(attempt.engine)
            try:
                async for output in _useful(outputs, attempt.seconds):
                    if output not in before or isinstance(output, Working):
                        given.append(output)
                        yield output
            except Exception as error:  # noqa: BLE001 # it is given to the successor's announcement, or raised
                attempt.give_up(error)
            else:
                return
            finally:
                if isinstance(outputs, AsyncGenerator):
                    await outputs.aclose()
        if not any(isinstance(output, Say) for output in given):
            yield Say(self._repeat)


async def _keeping_up(pieces: AsyncGenerator[bytes], seconds: float | None) -> AsyncGenerator[bytes]:
    """`pieces` from the first audible one on, which may take `seconds`; the others have to come as they are played.

    Only the time that is spent waiting for them counts.

    Raises:
        TimeoutError: the next was late.
        EngineError: there is nothing to hear.
    """
    loop, is_audible, left = asyncio.get_running_loop(), False, seconds
    async with aclosing(pieces):
        while True:
            asked = loop.time()
            async with asyncio.timeout(left):
                piece = await anext(pieces, None)
            if piece is None:
                break
            if len(piece) % 2:
                raise EngineError("tts", "half a sample")
            if left is not None:
                left -= loop.time() - asked
            if not is_audible and not piece.strip(b"\0"):
                continue
            if left is not None:
                left = (left if is_audible else STALL.total_seconds()) + len(piece) / BYTES_PER_MS / 1000
            is_audible = True
            yield piece
    if not is_audible:
        raise EngineError("tts", "nothing audible")


async def _useful(outputs: AsyncIterator[BrainOutput], seconds: float | None) -> AsyncGenerator[BrainOutput]:
    """`outputs`, each of which may take `seconds`; what is not heard does not prolong that.

    Raises:
        TimeoutError: the next was late.
        EngineError: there was none.
    """
    loop = asyncio.get_running_loop()
    began, was_useful = loop.time(), False
    while True:
        async with asyncio.timeout_at(None if seconds is None else began + seconds):
            output = await anext(outputs, None)
        if output is None:
            break
        yield output
        if not isinstance(output, Collected):
            began, was_useful = loop.time(), was_useful or not isinstance(output, Working)
    if not was_useful:
        raise EngineError("llm", "an empty answer")
