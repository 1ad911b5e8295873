"""Twins for tests of carriers and scripts: virtual time, speech that is exact and free, a probe at the agent's end."""

import asyncio
import heapq
from array import array
from collections.abc import Callable
from itertools import count, groupby

from call_service.carriers import g711
from call_service.carriers.port import FRAME_MS, FRAME_SAMPLES, SILENCE_FRAME, Answered, Leg, LegEvent
from call_service.voice.synthesis import InOnePiece

LOUD_FRAME = array("h", [4000, -4000] * (FRAME_SAMPLES // 2)).tobytes()
LOUD_RMS = 1_500
# Enough for a callee to hear, understand, choose and speak between two ticks.
LOOP_PASSES = 6


class VirtualTime:
    """A `Scheduler` whose time passes only in `advance`."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = count()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []

    @property
    def pending(self) -> int:
        """How many timers are set."""
        return len(self._timers)

    def time(self) -> float:
        return self._now

    def call_at(self, when: float, callback: Callable[[], None], /) -> None:
        heapq.heappush(self._timers, (when, next(self._order), callback))

    def stall(self, ms: float) -> None:
        """Let time pass without running anything."""
        self._now += ms / 1000

    async def advance(self, ms: float) -> None:
        """Let `ms` pass; timers run at their time, tasks run to where they wait."""
        await self._run_tasks()
        end = self._now + ms / 1000 + 1e-9
        while self._timers and self._timers[0][0] <= end:
            when, _, callback = heapq.heappop(self._timers)
            self._now = max(self._now, when)
            callback()
            await self._run_tasks()
        self._now = end

    @staticmethod
    async def _run_tasks() -> None:
        for _ in range(LOOP_PASSES):
            await asyncio.sleep(0)


class TwinSpeech(InOnePiece):
    """A `Synthesizer` and `Recognizer` in one: each sentence is loud for a length of its own, and known by it."""

    is_busy = False

    def __init__(self, *, shortest_ms: int = 400) -> None:
        self._frames: dict[str, int] = {}
        self._next = count(shortest_ms // FRAME_MS)

    async def synthesize(self, text: str, voice_id: str) -> bytes:  # noqa: ARG002 # the port has it
        if text not in self._frames:
            self._frames[text] = next(self._next)
        return LOUD_FRAME * self._frames[text] + SILENCE_FRAME

    async def recognize(self, pcm: bytes) -> str:
        """The sentences in `pcm`; a piece of one, or noise, is `?`."""
        texts = {frames: text for text, frames in self._frames.items()}
        size = len(SILENCE_FRAME)
        loud = (g711.rms(pcm[at : at + size]) > LOUD_RMS for at in range(0, len(pcm), size))
        return " ".join(texts.get(len(list(run)), "?") for is_loud, run in groupby(loud) if is_loud)


class CallProbe:
    """Listens to everything a leg delivers; times are ms since the probe was attached."""

    def __init__(self, leg: Leg, time: VirtualTime, speech: TwinSpeech) -> None:
        self.leg = leg
        self.events: list[LegEvent] = []
        self.at_ms: list[int] = []
        self.received = bytearray()
        self.played = bytearray()
        self._time = time
        self._start = time.time()
        self._speech = speech
        leg.on_event(self._take)
        leg.on_audio(self.received.extend)
        leg.on_played_frame(self.played.extend)

    async def answered(self) -> None:
        """Let time pass until the callee answered."""
        await self.until(lambda: Answered() in self.events)

    async def until(self, condition: Callable[[], bool], within_ms: int = 60_000) -> int:
        """Let time pass until `condition`; returns the milliseconds it took.

        Raises:
            AssertionError: it did not come true in time.
        """
        for passed in range(0, within_ms, FRAME_MS):
            if condition():
                return passed
            await self._time.advance(FRAME_MS)
        raise AssertionError(f"not within {within_ms} ms; events so far: {self.events}")

    async def say(self, text: str) -> None:
        """Speak as the agent and return when it was played."""
        self.leg.play(await self._speech.synthesize(text, "agent"))
        await self.until(lambda: not self.leg.queued_ms)

    async def heard(self) -> str:
        """All that the callee said so far."""
        return await self._speech.recognize(bytes(self.received))

    async def ask(self, text: str) -> str:
        """Speak, wait for the answer and its end; returns it."""
        await self.say(text)
        before = await self.heard()
        await self._time.advance(600 + 800 + 2_000)
        return (await self.heard()).removeprefix(before).strip()

    def _take(self, event: LegEvent) -> None:
        self.events.append(event)
        self.at_ms.append(round((self._time.time() - self._start) * 1000))
