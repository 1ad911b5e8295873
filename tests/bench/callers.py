"""Callers on in-memory legs, in real time, and how fast and at what cost an agent answers them.

Voice to voice is measured on the audio: from the last sample of the caller to the agent's first frame.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import psutil

from call_service.carriers.g711 import over_the_wire
from call_service.carriers.port import FRAME_MS, SAMPLE_RATE
from call_service.carriers.ticker import Ticker
from call_service.voice.engines.hibari import LEAD_OUT_MS
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.ports import Synthesizer

OPENING = "Hello, this is Anna speaking."
ANSWER = ("Thank you, I have written that down.", "Is there anything else that I can do for you today?")
CALLER_SAYS = (
    "I would like to make an appointment for next Tuesday, please.",
    "Wait a moment, that is not what I meant.",
    "Can I ask you something about the price?",
    "No, Thursday is better for me.",
    "Excuse me, who are you?",
)
CALLER_WAITS_S = 0.7
INTERRUPTS_AFTER_S = 1.0
BEGIN_WITHIN_S = 4.0
WARM_UP_S = 5.0
LATEST_MS = 1100
PROBE_S = 0.05  # waking a process costs 0.1 ms, which would be most of what one call does

Converse = Callable[[MemoryLeg], Awaitable[None]]


@dataclass(eq=False)
class Caller:
    """Speaks when the agent is done, and interrupts every third answer."""

    sentences: Sequence[bytes]
    leg: MemoryLeg = field(default_factory=MemoryLeg)
    voice_to_voice_ms: list[float] = field(default_factory=list)
    barge_in_ms: list[float] = field(default_factory=list)
    turns: int = 0
    _stopped_at: float | None = None
    _began_at: float | None = None
    _quiet_frames: int = 0
    _agent_frames: int = 0

    def tick(self) -> None:
        was_speaking = self.leg.callee_is_speaking
        self.leg.tick()
        if was_speaking and not self.leg.callee_is_speaking:
            self._stopped_at = time.perf_counter()

    def fail(self) -> None:
        self.leg.fail()

    def hear(self, frame: bytes) -> None:
        """The agent's next 20 ms."""
        now = time.perf_counter()
        if any(frame):
            self._quiet_frames = 0
            self._agent_frames += 1
            if self._stopped_at and not self.leg.callee_is_speaking:
                self.voice_to_voice_ms.append((now - self._stopped_at) * 1000)
                self._stopped_at = None
            if self.turns % 3 == 2 and self._agent_frames * FRAME_MS == INTERRUPTS_AFTER_S * 1000:
                self._speak(now)
            return
        self._quiet_frames += 1
        if self._began_at and self._quiet_frames == 1 and self.leg.callee_is_speaking:
            self.barge_in_ms.append((now - self._began_at) * 1000)
            self._began_at = None
        if self._agent_frames and self._quiet_frames * FRAME_MS >= CALLER_WAITS_S * 1000 and not self._is_waiting():
            self._speak(now)

    def give_up(self) -> None:
        """The call is over: an answer that did not come in time counts as what it was waited for."""
        waited_ms = (time.perf_counter() - self._stopped_at) * 1000 if self._stopped_at else 0
        if waited_ms > LATEST_MS:
            self.voice_to_voice_ms.append(waited_ms)

    def _is_waiting(self) -> bool:
        return self.leg.callee_is_speaking or self._stopped_at is not None

    def _speak(self, now: float) -> None:
        self._began_at = now if self.leg.queued_ms else None
        self._agent_frames = 0
        self._stopped_at = None
        self.turns += 1
        self.leg.say(self.sentences[self.turns % len(self.sentences)])


@dataclass(frozen=True)
class Measured:
    """What came of calls at once: milliseconds, CPU seconds of the process, and the seconds of all calls together."""

    voice_to_voice_ms: list[float]
    barge_in_ms: list[float]
    loop_late_ms: list[float]
    turns: int
    late_ticks: int
    cpu_seconds: float
    call_seconds: float
    rss_mb: float

    @property
    def core_share(self) -> float:
        """CPU time a call, of a core."""
        return self.cpu_seconds / self.call_seconds


async def voices(synthesizer: Synthesizer) -> list[bytes]:
    """What callers say, as it comes over a telephone line: it ends with its last sound."""
    spoken = [over_the_wire(await synthesizer.synthesize(text, "heart")) for text in CALLER_SAYS]
    return [pcm[: -LEAD_OUT_MS * SAMPLE_RATE * 2 // 1000] for pcm in spoken]


async def measure(converse: Converse, sentences: Sequence[bytes], calls: int, seconds: float) -> Measured:
    """Have `calls` conversations of some seconds at once; they begin one after the other, behind one that warms up."""
    ticker, late_ms, process = Ticker(), list[float](), psutil.Process()
    await _call(converse, Caller(sentences), ticker, WARM_UP_S)
    callers = [Caller(sentences) for _ in range(calls)]
    probe = asyncio.create_task(_measure_lateness(late_ms))
    cpu = process.cpu_times()

    async def call(number: int, caller: Caller) -> None:
        await asyncio.sleep(number * min(0.2, BEGIN_WITHIN_S / calls))
        await _call(converse, caller, ticker, seconds)

    await asyncio.gather(*(call(number, caller) for number, caller in enumerate(callers)))
    probe.cancel()
    used = process.cpu_times()
    return Measured(
        [ms for caller in callers for ms in caller.voice_to_voice_ms],
        [ms for caller in callers for ms in caller.barge_in_ms],
        late_ms,
        sum(caller.turns for caller in callers),
        ticker.late_ticks,
        used.user + used.system - cpu.user - cpu.system,
        calls * seconds,
        process.memory_info().rss / 2**20,
    )


async def _call(converse: Converse, caller: Caller, ticker: Ticker, seconds: float) -> None:
    caller.leg.on_played_frame(caller.hear)
    talking = asyncio.ensure_future(converse(caller.leg))
    ticker.add(caller)
    try:
        await asyncio.sleep(seconds)
        caller.give_up()
        caller.leg.end()
        await talking
    finally:
        ticker.remove(caller)


async def _measure_lateness(late_ms: list[float]) -> None:
    """How late the loop wakes a sleeper."""
    while True:
        due = time.perf_counter() + PROBE_S
        await asyncio.sleep(PROBE_S)
        late_ms.append((time.perf_counter() - due) * 1000)
