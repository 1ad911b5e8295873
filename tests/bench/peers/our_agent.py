"""Our voice session, for `bench_pipecat`: `python -m tests.bench.peers.our_agent CALLS SECONDS` prints JSON."""

import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from datetime import timedelta

import orjson
import uvloop

from call_service.voice.detection import Verdict
from call_service.voice.endpointing import EndpointingOptions
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import SessionOptions, TurnTimings
from call_service.voice.ports import BrainOutput, Role, Say, Turn
from call_service.voice.session import VoiceSession
from tests.bench.callers import ANSWER, OPENING, measure, voices

WAIT_MS = 300


class Answers:
    """A brain that answers everything at once with the same two sentences."""

    async def opening(self) -> AsyncIterator[BrainOutput]:
        yield Say(OPENING)

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        for sentence in ANSWER:
            yield Say(sentence, "yes_no")

    async def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        yield Say("Are you there?")


class Nobody:
    """A listener of a session that does not care."""

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None: ...

    def on_speech_started(self, role: Role) -> None: ...

    def on_collected(self, field: str, value: str) -> None: ...

    def on_detected(self, verdict: Verdict, at_ms: int) -> None: ...


async def converse(engines: Engines, leg: MemoryLeg) -> None:
    """One call, until its leg ends."""
    options = SessionOptions(hello_wait=timedelta(0), endpointing=EndpointingOptions(wait_ms=WAIT_MS))
    session = VoiceSession(leg, engines, Answers(), options, Nobody())
    leg.on_event(session.on_leg_event)
    await session.run()


async def _main(calls: int, seconds: float) -> None:
    engines = await load_engines()
    sentences = await voices(engines.synthesizer)
    found = await measure(lambda leg: converse(engines, leg), sentences, calls, seconds)
    engines.close()
    print(orjson.dumps(asdict(found)).decode())


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), float(sys.argv[2])))
