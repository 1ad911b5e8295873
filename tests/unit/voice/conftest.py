"""A call in virtual time: a clock that jumps to the next thing to do, and a leg that ticks by it."""

import asyncio
import selectors
from array import array
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import pi, sin
from typing import Any

import pytest

from call_service.carriers.port import FRAME_MS, SAMPLE_RATE
from call_service.voice.detection import Verdict
from call_service.voice.engines.bundle import Engines
from call_service.voice.engines.null import LevelActivity, NullSynthesizer
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import SessionOptions, SessionResult, TurnTimings
from call_service.voice.ports import BrainOutput, Role, Say, Turn
from call_service.voice.session import VoiceSession


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: what the loop would sleep is added to its clock."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


Outputs = Sequence[BrainOutput | Exception | float]


@dataclass
class ScriptedConversation:
    """Says what the test wrote; a number is a time to think in seconds."""

    first: Outputs = (Say("Hello this is Anna."),)
    replies: list[Outputs] = field(default_factory=list)
    silences: list[Outputs] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    histories: list[tuple[Turn, ...]] = field(default_factory=list)
    closed: int = 0

    def opening(self) -> AsyncIterator[BrainOutput]:
        return self._play(self.first)

    def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        self.heard.append(heard)
        self.histories.append(tuple(history))
        return self._play(self.replies.pop(0) if self.replies else ())

    def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        return self._play(self.silences[count - 1] if count <= len(self.silences) else ())

    async def _play(self, outputs: Outputs) -> AsyncIterator[BrainOutput]:
        try:
            for output in outputs:
                if isinstance(output, float):
                    await asyncio.sleep(output)
                elif isinstance(output, Exception):
                    raise output
                else:
                    yield output
        finally:
            self.closed += 1


@dataclass
class ScriptedRecognizer:
    """Hears the test's texts in turn, or fails with its exceptions; takes its `seconds`."""

    texts: list[str | Exception] = field(default_factory=list)
    is_busy: bool = False
    seconds: float = 0.05
    heard_pcm: list[bytes] = field(default_factory=list)

    async def recognize(self, pcm: bytes) -> str:
        await asyncio.sleep(self.seconds)
        self.heard_pcm.append(pcm)
        text = self.texts.pop(0) if self.texts else ""
        if isinstance(text, Exception):
            raise text
        return text


class SlowSynthesizer(NullSynthesizer):
    """Hums after 30 ms, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.error = error
        self.texts: list[str] = []

    async def synthesize(self, text: str, voice_id: str) -> bytes:
        await asyncio.sleep(0.03)
        self.texts.append(text)
        if self.error:
            raise self.error
        return await super().synthesize(text, voice_id)


@dataclass
class Notes:
    """A `SessionListener` that remembers."""

    turns: list[Turn] = field(default_factory=list)
    timings: list[TurnTimings] = field(default_factory=list)
    starts: list[Role] = field(default_factory=list)
    collected: dict[str, str] = field(default_factory=dict)
    verdicts: list[tuple[str, str, int]] = field(default_factory=list)

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None:
        self.turns.append(turn)
        self.timings.append(timings)

    def on_speech_started(self, role: Role) -> None:
        self.starts.append(role)

    def on_collected(self, field: str, value: str) -> None:
        self.collected[field] = value

    def on_detected(self, verdict: Verdict, at_ms: int) -> None:
        self.verdicts.append((verdict.kind, verdict.by, at_ms))


@dataclass
class Call:
    """One call being tested. `leg` hums with `hum`, `wait` lets virtual time pass."""

    conversation: ScriptedConversation
    recognizer: ScriptedRecognizer
    synthesizer: SlowSynthesizer
    options: SessionOptions
    notes: Notes = field(default_factory=Notes)
    leg: MemoryLeg = field(default_factory=MemoryLeg)
    played: bytearray = field(default_factory=bytearray)
    session: VoiceSession = field(init=False)
    running: asyncio.Task[SessionResult] = field(init=False)
    over_ms: int = field(init=False)
    result: SessionResult = field(init=False)

    async def run(self, callee: "Scenario") -> SessionResult:
        self.session = self.open_session()
        self.leg.on_event(self.session.on_leg_event)
        self.leg.on_played_frame(self.played.extend)
        ticking = asyncio.create_task(self._tick())
        acting = asyncio.create_task(callee(self))
        try:
            self.running = asyncio.create_task(self.session.run())
            self.result = await asyncio.wait_for(self.running, 3600)
        finally:
            self.over_ms = self.session.now_ms()
            ticking.cancel()
            acting.cancel()
            await asyncio.gather(ticking, acting, return_exceptions=True)
        if not acting.cancelled() and (error := acting.exception()):
            raise error
        return self.result

    def open_session(self) -> VoiceSession:
        engines = Engines(self.recognizer, self.synthesizer, LevelActivity)
        return VoiceSession(self.leg, engines, self.conversation, self.options, self.notes)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], object], limit: float = 60) -> None:
        async with asyncio.timeout(limit):
            while not condition():  # noqa: ASYNC110 # conditions of any kind
                await asyncio.sleep(FRAME_MS / 1000)

    async def hum(self, ms: int) -> None:
        """The callee makes a voice-like sound for `ms`; returns when it is over."""
        self.leg.say(b"\x88\x13" * (8 * ms))
        await self.until(lambda: not self.leg.callee_is_speaking)

    async def until_agent_spoke(self, turns: int) -> None:
        """Wait until that many agent turns are final."""
        await self.until(lambda: sum(turn.role == "agent" for turn in self.notes.turns) >= turns)

    @property
    def said(self) -> list[tuple[str, str]]:
        return [(turn.role, turn.text) for turn in self.result.turns]

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(FRAME_MS / 1000)
            self.leg.tick()


def longest_silence_ms(call: Call, within_ms: int = 3_600_000) -> int:
    """Of the agent, since the callee began to ask; it speaks 600 ms of that itself."""
    silent = longest = 0
    for at in range(0, min(len(call.played), within_ms * 16), 320):
        silent = 0 if any(call.played[at : at + 320]) else silent + 20
        longest = max(longest, silent)
    return longest


Scenario = Callable[[Call], Coroutine[Any, Any, None]]


@pytest.fixture
def in_virtual_time() -> Callable[[Coroutine[Any, Any, Call]], Call]:
    """Run a coroutine on a loop whose clock jumps; afterwards no task may be left."""

    def run(coroutine: Coroutine[Any, Any, Call]) -> Call:
        async def main() -> Call:
            result = await coroutine
            await asyncio.sleep(1)
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return result

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(main())

    return run


@pytest.fixture
def place_call(in_virtual_time: Callable[[Coroutine[Any, Any, Call]], Call]) -> Callable[..., Call]:
    """Hold a whole call: `place_call(callee, replies=[...], hears=[...])` returns it when it is over."""

    def place(
        callee: Scenario,
        *,
        hears: Sequence[str | Exception] = (),
        is_busy: bool = False,
        tts_error: Exception | None = None,
        options: SessionOptions | None = None,
        **script: Any,
    ) -> Call:
        async def main() -> Call:
            call = Call(
                ScriptedConversation(**script),
                ScriptedRecognizer(list(hears), is_busy),
                SlowSynthesizer(tts_error),
                options or SessionOptions(hello_wait=timedelta(milliseconds=500)),
            )
            await call.run(callee)
            return call

        return in_virtual_time(main())

    return place


@pytest.fixture
def beep_pcm() -> bytes:
    """The record tone of an answering machine: 400 ms of 1 kHz, quiet enough not to be taken for voice."""
    wave = (round(480 * sin(2 * pi * 1000 * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE * 4 // 10))
    return array("h", wave).tobytes()
