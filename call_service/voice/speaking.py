"""One turn of the agent: sentences from the brain, synthesised one ahead of what plays, cut off by an interruption."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import accumulate
from typing import Literal, Protocol, TypeVar

from call_service.carriers.port import BYTES_PER_MS, FRAME_MS, KeysNotSentError, Leg
from call_service.voice.endpointing import Expects
from call_service.voice.options import SessionOptions, TurnTimings
from call_service.voice.ports import BrainOutput, Collected, EndCall, EngineError, Press, Say, Spoken, Transfer, Turn
from call_service.voice.stock import Stock

MAX_QUEUED_SENTENCES = 2
ROUNDING = 1e-6
# A carrier that loses a mark must not hold the call.
MARK_GRACE = timedelta(seconds=5)
CLOSE_TIMEOUT = timedelta(seconds=2)
# What was cut off in the middle of a word is said again from a little before.
REWIND_MS = 300
# For sentences that were interrupted before all of their audio was there.
MS_PER_LETTER = 65

T = TypeVar("T")


def words_heard(text: str, fraction: float) -> str:
    """The words of `text` that were over when `fraction` (0..1) of its audio was played, by their length in letters."""
    ends = accumulate(len(word) + 1 for word in text.split())
    limit = fraction * (len(" ".join(text.split())) + 1) + ROUNDING
    return " ".join(word for word, end in zip(text.split(), ends, strict=True) if end <= limit)


@dataclass(frozen=True, slots=True)
class Voice:
    """How an agent speaks on one call."""

    leg: Leg
    synthesizer: Stock
    options: SessionOptions
    now_ms: Callable[[], int]


@dataclass(slots=True, eq=False)
class _Sentence:
    """Grows while its audio comes."""

    text: str
    pcm: bytearray
    is_whole: bool = True
    source: Spoken | None = None  # the first part of what a model said itself

    @property
    def duration_ms(self) -> int:
        return len(self.pcm) // BYTES_PER_MS

    def heard_in(self, played_ms: int) -> str:
        """What was heard of it after `played_ms` of its audio."""
        audible_ms = max(1, len(self.pcm.rstrip(b"\0")) // BYTES_PER_MS)  # without the pause at its end
        if not self.is_whole:
            audible_ms = max(audible_ms, len(self.text) * MS_PER_LETTER)
        return words_heard(self.text, min(1.0, max(0, played_ms) / audible_ms))


class TurnHooks(Protocol):
    """What a turn tells the session while it is spoken."""

    def collected(self, field: str, value: str) -> None:
        """The brain got a value from the callee."""

    def agent_started(self) -> None:
        """The first frame went out."""

    def transfer(self, wanted: Transfer, /) -> None:
        """The brain wants to connect the callee, and has said its last word about it."""


class AgentTurn:
    """`run` speaks and returns when all was played; `interrupt` stops at once, `hold` until `resume` goes on.

    While it has nothing to play it fills the silence with stock phrases, as long as the callee waits for an answer.
    `may_start` holds the audio back until it is set. A turn that `is_protected` or that ends the call is played to its
    end whatever the callee says.
    """

    def __init__(
        self,
        voice: Voice,
        hooks: TurnHooks,
        *,
        may_start: asyncio.Event | None = None,
        answers_ms: int | None = None,
        is_protected: bool = False,
    ) -> None:
        self._voice = voice
        self._hooks = hooks
        self._may_start = may_start
        self._answers_ms = answers_ms
        self._is_protected = is_protected
        self._sentences: list[_Sentence] = []
        self._played_ms = 0
        self._start_ms: int | None = None
        self._room = asyncio.Semaphore(MAX_QUEUED_SENTENCES)
        self._asked_ms = voice.now_ms()
        self._task: asyncio.Task[None] | None = None
        self._quiet_since_ms = answers_ms
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._holds = 0
        self.timings = TurnTimings()
        self.expects: Expects = "open"
        self.ends_call = False
        self._transfer: Transfer | None = None
        self.is_interrupted = False

    @property
    def may_interrupt(self) -> bool:
        """May the callee's voice stop it now?"""
        is_held_back = self._may_start is not None and not self._may_start.is_set()
        return not (self._is_protected or self.ends_call or is_held_back)

    async def run(self, outputs: AsyncIterator[BrainOutput]) -> None:
        """Speak `outputs` until they end, or with `EndCall`.

        Raises:
            EngineError: the brain or the synthesis failed; what was queued before has been played.
        """
        self._task = asyncio.create_task(self._speak(outputs))
        try:
            await asyncio.wait({self._task})
        finally:
            if self._task.cancel():
                await asyncio.wait({self._task}, timeout=CLOSE_TIMEOUT.total_seconds())
            if self.is_interrupted:
                self._tell_what_was_cut()
        if not self._task.cancelled():
            self._task.result()

    def interrupt(self) -> None:
        """Stop the audio and the work behind it."""
        if self._task and not self._task.done():
            self.is_interrupted = True
            self._voice.leg.clear()
            self._task.cancel()

    @property
    def is_held(self) -> bool:
        """Was it stopped, and not told yet whether to go on?"""
        return not self._flowing.is_set()

    @property
    def promises_transfer(self) -> bool:
        """Will the callee be connected after its last word?"""
        return self._transfer is not None

    @property
    def has_asked(self) -> bool:
        """Is it in its last sentence so far: the one that `expects` is about?"""
        return bool(self._sentences) and self._played_ms > self._queued_ms - self._sentences[-1].duration_ms

    def hold(self) -> None:
        """Stop the audio at once."""
        self._holds += 1
        self._flowing.clear()
        self._voice.leg.clear()

    def resume(self) -> None:
        """Go on where it was stopped, if it was not interrupted since."""
        if self.is_interrupted:
            return
        left_ms = self._played_ms = max(0, self._played_ms - REWIND_MS)
        self._flowing.set()
        for sentence in self._sentences:
            if left_ms < sentence.duration_ms:
                self._voice.leg.play(bytes(sentence.pcm[left_ms * BYTES_PER_MS :]))
            left_ms = max(0, left_ms - sentence.duration_ms)

    def frame_played(self) -> None:
        """20 ms went out to the callee."""
        if self.is_held:
            return
        if self._played_ms >= self._queued_ms:
            self._fill()
            return
        self._quiet_since_ms = None
        self._played_ms += FRAME_MS
        if self._start_ms is None:
            now_ms = self._voice.now_ms()
            self._start_ms = now_ms - FRAME_MS  # where the recording has it: beside the frame that came just now
            if self._answers_ms is not None:
                self.timings.voice_to_voice_ms = now_ms - self._answers_ms
            self._hooks.agent_started()

    def spoken(self) -> Turn | None:
        """What the callee heard; None when that is nothing."""
        is_cut = self._played_ms < self._queued_ms or self.is_interrupted
        text = self._heard_text()
        self.timings.playout_ms = self._played_ms
        self.timings.characters = sum(len(sentence.text) for sentence in self._sentences)
        if not text or self._start_ms is None:
            return None
        return Turn("agent", text, self._start_ms, self._start_ms + self._played_ms, interrupted=is_cut)

    def _fill(self) -> None:
        """Nothing plays: let the callee know that it is not forgotten before the silence gets long."""
        if not self.may_interrupt or not self._task or self._task.done():
            return
        now_ms = self._voice.now_ms()
        if self._quiet_since_ms is None:
            self._quiet_since_ms = now_ms
        waited = timedelta(milliseconds=now_ms - self._quiet_since_ms)
        if waited >= self._voice.options.filler_after and (filler := self._voice.synthesizer.next_filler()):
            self._play(_Sentence(filler[0], bytearray()), filler[1])

    @property
    def _queued_ms(self) -> int:
        return sum(sentence.duration_ms for sentence in self._sentences)

    def _heard_text(self) -> str:
        left_ms = self._played_ms
        heard = []
        for sentence in self._sentences:
            heard.append(sentence.heard_in(left_ms))
            left_ms -= sentence.duration_ms
        return " ".join(part for part in heard if part)

    async def _speak(self, outputs: AsyncIterator[BrainOutput]) -> None:
        try:
            while not (self.ends_call or self._transfer) and (output := await self._next(outputs)):
                await self._do(output)
        except EngineError:
            await self._played_out()
            raise
        else:
            await self._played_out()
            if self._transfer:
                self._hooks.transfer(self._transfer)
        finally:
            await _close(outputs)

    async def _do(self, output: BrainOutput) -> None:
        match output:
            case Say():
                await self._say(output)
            case Spoken():
                await self._go_on(output)
            case Collected():
                self._hooks.collected(output.field, output.value)
            case Press(keys):
                await self._played_out()
                with suppress(KeysNotSentError):  # it hears that the menu goes on
                    await self._voice.leg.send_dtmf(keys)
            case Transfer():
                self._transfer = output
            case EndCall():
                self.ends_call = True
            case _:  # there is nothing to hear while it works or listens
                pass

    async def _next(self, outputs: AsyncIterator[BrainOutput]) -> BrainOutput | None:
        output = await self._in_time("llm", anext(outputs, None))
        if self.timings.brain_ms is None and isinstance(output, Say | Spoken):
            self.timings.brain_ms = self._voice.now_ms() - self._asked_ms
        return output

    async def _say(self, say: Say) -> None:
        await self._room.acquire()
        await self._flowing.wait()  # a hold makes room by dropping what was queued
        began_ms = self._voice.now_ms()
        sentence = _Sentence(say.text, bytearray(), is_whole=False)
        async with aclosing(self._voice.synthesizer.stream(say.text, self._voice.options.voice_id)) as pieces:
            while (pcm := await self._in_time("tts", anext(pieces, None))) is not None:
                if self.timings.synthesis_ms is None:
                    self.timings.synthesis_ms = self._voice.now_ms() - began_ms
                await self._may_play()
                self._play(sentence, pcm)
        sentence.is_whole = True
        self.expects = say.expects
        self._voice.leg.mark(self._room.release)

    async def _go_on(self, part: Spoken) -> None:
        """Play some more of what a model says itself, behind what was played of it."""
        await self._may_play()
        last = self._sentences[-1] if self._sentences else None
        if last and last.source and last.source.item == part.item:
            last.text += part.text
            self._play(last, part.pcm)
        else:
            self._play(_Sentence(part.text, bytearray(), source=part), part.pcm)
        self.expects = part.expects

    async def _may_play(self) -> None:
        if self._may_start:
            await self._may_start.wait()
        await self._flowing.wait()

    def _play(self, sentence: _Sentence, pcm: bytes) -> None:
        """Play (some more) of a sentence; what comes behind a filler is told as a sentence without words."""
        last = self._sentences[-1] if self._sentences else None
        if last is not sentence:
            if sentence in self._sentences:
                sentence = _Sentence("", bytearray())
            self._sentences.append(sentence)
        sentence.pcm += pcm
        self._voice.leg.play(pcm)

    def _tell_what_was_cut(self) -> None:
        """Models know what they have sent, not what was heard of it."""
        left_ms, heard_ms = self._played_ms, dict[str, int]()
        for sentence in self._sentences:
            played_ms = min(max(0, left_ms), sentence.duration_ms)
            left_ms -= sentence.duration_ms
            if sentence.source:
                item = sentence.source.item
                heard_ms[item] = heard_ms.get(item, 0) + played_ms
                if played_ms < sentence.duration_ms:
                    sentence.source.cut(heard_ms[item])

    async def _in_time(self, stage: Literal["llm", "tts"], result: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._voice.options.engine_timeout.total_seconds()):
                return await result
        except EngineError:
            raise
        except TimeoutError as error:
            raise EngineError(stage, "no answer in time") from error
        except Exception as error:
            raise EngineError(stage, f"{type(error).__name__}: {error}") from error

    async def _played_out(self) -> None:
        holds = -1
        while holds != self._holds:  # marks fire when a hold drops what is queued
            await self._flowing.wait()
            holds = self._holds
            played = asyncio.Event()
            self._voice.leg.mark(played.set)
            limit = timedelta(milliseconds=self._voice.leg.queued_ms) + MARK_GRACE
            with suppress(TimeoutError):
                async with asyncio.timeout(limit.total_seconds()):
                    await played.wait()
                    if holds == self._holds:
                        self._played_ms = self._queued_ms


async def _close(outputs: AsyncIterator[BrainOutput]) -> None:
    """Cancel what a generator still does; other iterators have nothing to close."""
    if isinstance(outputs, AsyncGenerator):
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT.total_seconds()):
                await outputs.aclose()
