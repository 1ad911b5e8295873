"""What a call costs, and how fast it answers: voice sessions on in-memory legs in real time.

    python tests/bench/bench_voice_session.py

The null rows have free recognition and synthesis but real voice activity detection; the local rows have everything.
Voice to voice is measured on the audio: from the last sample of the callee to the agent's first frame.
"""

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from call_service.carriers.g711 import over_the_wire
from call_service.carriers.port import FRAME_MS, SAMPLE_RATE
from call_service.carriers.ticker import Ticker
from call_service.voice.detection import Verdict
from call_service.voice.endpointing import EndpointingOptions
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.engines.hibari import LEAD_OUT_MS
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import SessionOptions, TurnTimings
from call_service.voice.ports import BrainOutput, Role, Say, Turn
from call_service.voice.session import VoiceSession

ANSWER = "Thank you, I have written that down. Is there anything else that I can do for you today?"
CALLEE_SAYS = (
    "I would like to make an appointment for next Tuesday, please.",
    "Wait a moment, that is not what I meant.",
    "Can I ask you something about the price?",
    "No, Thursday is better for me.",
    "Excuse me, who are you?",
)
CALLEE_WAITS_S = 0.7
INTERRUPTS_AFTER_S = 1.0


class Answers:
    """A brain that answers everything at once with the same two sentences."""

    async def opening(self) -> AsyncIterator[BrainOutput]:
        yield Say("Hello, this is Anna speaking.")

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        for sentence in ANSWER.split(". "):
            yield Say(sentence, "yes_no")

    async def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        yield Say("Are you there?")


@dataclass(eq=False)
class Caller:
    """One callee who speaks when the agent is done, and interrupts every third answer."""

    engines: Engines
    sentences: Sequence[bytes]
    leg: MemoryLeg = field(default_factory=MemoryLeg)
    voice_to_voice_ms: list[float] = field(default_factory=list)
    barge_in_ms: list[float] = field(default_factory=list)
    turns: int = 0
    _stopped_at: float | None = None
    _began_at: float | None = None
    _quiet_frames: int = 0
    _agent_frames: int = 0
    _due: float = 0.0

    async def run(self, ticker: Ticker, seconds: float) -> None:
        options = SessionOptions(
            hello_wait=timedelta(0),
            endpointing=EndpointingOptions(wait_ms=300),
            max_duration=timedelta(seconds=seconds),
        )
        session = VoiceSession(self.leg, self.engines, Answers(), options, self)
        self.leg.on_event(session.on_leg_event)
        self.leg.on_played_frame(self._hear)
        ticker.add(self)
        try:
            await session.run()
        finally:
            ticker.remove(self)

    def tick(self) -> None:
        was_speaking = self.leg.callee_is_speaking
        self.leg.tick()
        if was_speaking and not self.leg.callee_is_speaking:
            self._stopped_at = time.perf_counter()

    def fail(self) -> None:
        self.leg.fail()

    def _hear(self, frame: bytes) -> None:
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
        if self._agent_frames and self._quiet_frames * FRAME_MS >= CALLEE_WAITS_S * 1000 and not self._is_waiting():
            self._speak(now)

    def _is_waiting(self) -> bool:
        return self.leg.callee_is_speaking or self._stopped_at is not None

    def _speak(self, now: float) -> None:
        self._began_at = now if self.leg.queued_ms else None
        self._agent_frames = 0
        self._stopped_at = None
        self.turns += 1
        self.leg.say(self.sentences[self.turns % len(self.sentences)])

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None: ...

    def on_speech_started(self, role: Role) -> None: ...

    def on_collected(self, field: str, value: str) -> None: ...

    def on_detected(self, verdict: Verdict, at_ms: int) -> None: ...


async def measure_jitter(late_ms: list[float]) -> None:
    """How late the loop wakes a sleeper."""
    while True:
        due = time.perf_counter() + 0.01
        await asyncio.sleep(0.01)
        late_ms.append((time.perf_counter() - due) * 1000)


async def measure(engines: Engines, sentences: Sequence[bytes], calls: int, seconds: float) -> list[str]:
    """One row of the table."""
    ticker, late_ms, process = Ticker(), list[float](), psutil.Process()
    callers = [Caller(engines, sentences) for _ in range(calls)]
    jitter = asyncio.create_task(measure_jitter(late_ms))
    cpu, began = process.cpu_times(), time.perf_counter()

    async def start_late(number: int, caller: Caller) -> None:
        await asyncio.sleep(number * min(0.2, 3 / calls))
        await caller.run(ticker, seconds)

    await asyncio.gather(*(start_late(number, caller) for number, caller in enumerate(callers)))
    jitter.cancel()
    used = process.cpu_times()
    share = 100 * (used.user + used.system - cpu.user - cpu.system) / (time.perf_counter() - began)
    voice = [ms for caller in callers for ms in caller.voice_to_voice_ms]
    barge = [ms for caller in callers for ms in caller.barge_in_ms]
    rss = process.memory_info().rss / 2**20
    return [
        str(calls),
        f"{share / calls:.2f} %",
        percentiles(voice),
        percentiles(barge),
        f"{np.percentile(late_ms, 99):.1f}",
        str(sum(caller.turns for caller in callers)),
        str(ticker.late_ticks),
        f"{rss:.0f}",
    ]


def percentiles(values: list[float]) -> str:
    """`p50 / p95` in milliseconds."""
    return " / ".join(f"{np.percentile(values, share):.0f}" for share in (50, 95)) if values else "-"


async def bench(kinds: Sequence[str], counts: Sequence[int], seconds: float) -> Table:
    """Measure each kind of engines with each number of calls."""
    table = Table(title=f"voice sessions, {seconds:g} s each, 300 ms endpointing")
    heads = "engines,calls,CPU of a core a call,voice to voice p50/p95 ms,barge-in p50/p95 ms"
    for head in f"{heads},loop late p99 ms,turns,late ticks,RSS MB".split(","):
        table.add_column(head, justify="right")
    local = await load_engines()
    null = await load_engines("null")
    engines = {"null": replace(null, voice_activity=local.voice_activity), "local": local}
    spoken = [over_the_wire(await local.synthesizer.synthesize(text, "heart")) for text in CALLEE_SAYS]
    sentences = [pcm[: -LEAD_OUT_MS * SAMPLE_RATE * 2 // 1000] for pcm in spoken]
    for kind in kinds:
        for count in counts:
            table.add_row(kind, *await measure(engines[kind], sentences, count, seconds))
    local.close()
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", nargs="+", choices=["null", "local"], default=["null", "local"])
    parser.add_argument("--calls", nargs="+", type=int, default=[1, 20, 40])
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    Console(width=140).print(asyncio.run(bench(arguments.engines, arguments.calls, arguments.seconds)))


if __name__ == "__main__":
    main()
