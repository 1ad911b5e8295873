"""Engines that fail in every way: somebody else takes over, and the callee never waits long in silence."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from call_service.voice.fallback import (
    Chain,
    FallbackConversation,
    FallbackRecognizer,
    FallbackSynthesizer,
    Switch,
)
from call_service.voice.options import SessionOptions
from call_service.voice.ports import BrainOutput, Collected, EndCall, EngineError, Say, Turn
from call_service.voice.synthesis import InOnePiece
from tests.unit.voice.conftest import (
    Call,
    ScriptedConversation,
    ScriptedRecognizer,
    SlowSynthesizer,
    longest_silence_ms,
)

LONGEST_SILENCE_MS = 2_500
HANG = 3600.0
REFUSED = EngineError("llm", "connection refused")


@dataclass
class BrokenRecognizer:
    """Fails with `fault`, or takes that many seconds."""

    fault: Exception | float
    is_busy: bool = False

    async def recognize(self, pcm: bytes) -> str:
        assert pcm
        if isinstance(self.fault, Exception):
            raise self.fault
        await asyncio.sleep(self.fault)
        return "too late"


@dataclass
class BrokenSynthesizer(InOnePiece):
    """Fails with `fault`, takes that many seconds, or returns it as audio."""

    fault: Exception | float | bytes

    async def synthesize(self, text: str, voice_id: str) -> bytes:
        assert text
        assert voice_id
        match self.fault:
            case bytes(pcm):
                return pcm
            case float(seconds):
                await asyncio.sleep(seconds)
                return b""
            case Exception() as error:
                raise error


@dataclass
class BrokenConversation:
    """Says and does what `outputs` has, whatever is asked: a number is a time in seconds."""

    outputs: Sequence[BrainOutput | Exception | float]
    asked: int = 0

    def opening(self) -> AsyncIterator[BrainOutput]:
        return self._play()

    def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        assert heard or history
        return self._play()

    def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        assert count
        return self._play()

    async def _play(self) -> AsyncIterator[BrainOutput]:
        self.asked += 1
        for output in self.outputs:
            if isinstance(output, float):
                await asyncio.sleep(output)
            elif isinstance(output, Exception):
                raise output
            else:
                yield output


@dataclass
class Switches:
    """What took over from what."""

    seen: list[Switch] = field(default_factory=list)

    @property
    def stages(self) -> dict[str, str]:
        return {switch.stage: switch.why for switch in self.seen}


@pytest.fixture
def talk(in_virtual_time: Callable[..., Call]) -> Callable[..., tuple[Call, Switches]]:
    """One question to an agent with broken primaries; it ends the call with its answer."""

    def place(
        *,
        stt: Exception | float | None = None,
        tts: Exception | float | bytes | None = None,
        llm: Sequence[BrainOutput | Exception | float] | None = None,
        has_fallback: bool = True,
        silences: Sequence[Sequence[BrainOutput]] = (),
    ) -> tuple[Call, Switches]:
        switches = Switches()
        good = ScriptedConversation(replies=[(Say("On Tuesday."), Say("Goodbye."), EndCall())], silences=list(silences))

        def chain(stage: Any, broken: Any, sound: Any) -> Any:
            engines = [("vendor", broken), ("local", sound)] if broken else [("local", sound)]
            return Chain(stage, engines if has_fallback else engines[:1], switches.seen.append)

        recognizer = BrokenRecognizer(stt) if stt is not None else None
        synthesizer = BrokenSynthesizer(tts) if tts is not None else None
        conversation = BrokenConversation(llm) if llm is not None else None

        async def callee(call: Call) -> None:
            await call.until_agent_spoke(1)
            call.played.clear()
            await call.hum(600)

        async def main() -> Call:
            call = Call(
                FallbackConversation(chain("llm", conversation, good), "Once more?"),  # type: ignore[arg-type] # a port
                FallbackRecognizer(chain("stt", recognizer, ScriptedRecognizer(["When?"]))),  # type: ignore[arg-type] # a port
                FallbackSynthesizer(chain("tts", synthesizer, SlowSynthesizer())),  # type: ignore[arg-type] # a port
                SessionOptions(hello_wait=timedelta(milliseconds=500)),
            )
            await call.run(callee)
            return call

        return in_virtual_time(main()), switches

    return place


FAULTS = {
    "refused": REFUSED,
    "hangs": HANG,
    "late": 1.5,
    "breaks": ValueError("garbage"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_recognition_fails(talk: Callable[..., tuple[Call, Switches]], fault: Exception | float) -> None:
    call, switches = talk(stt=fault)
    assert ("user", "When?") in call.said
    assert call.said[-1][1].endswith("On Tuesday. Goodbye.")
    assert longest_silence_ms(call) <= LONGEST_SILENCE_MS
    assert switches.stages == {"stt": "late" if isinstance(fault, float) else "failed"}


@pytest.mark.parametrize("fault", [*FAULTS.values(), b"", bytes(1600), b"odd"], ids=[*FAULTS, "empty", "mute", "odd"])
def test_synthesis_fails(talk: Callable[..., tuple[Call, Switches]], fault: Exception | float | bytes) -> None:
    call, switches = talk(tts=fault)
    assert call.said[-1][1].endswith("On Tuesday. Goodbye.")
    assert longest_silence_ms(call) <= LONGEST_SILENCE_MS
    assert switches.stages == {"tts": "late" if isinstance(fault, float) else "failed"}


LLM_FAULTS: dict[str, Sequence[BrainOutput | Exception | float]] = {
    "refused": (REFUSED,),
    "hangs": (HANG,),
    "empty": (),
    "only notes": (Collected("a", "b"), HANG),
    "dribbles": (0.9, Collected("a", "b"), 0.9, Collected("c", "d"), 0.9, Say("Too late.")),
    "cut": (Say("On Tuesday."), REFUSED),
    "stops": (Say("On Tuesday."), HANG),
}


@pytest.mark.parametrize("fault", LLM_FAULTS.values(), ids=LLM_FAULTS)
def test_the_brain_fails(talk: Callable[..., tuple[Call, Switches]], fault: Sequence[Any]) -> None:
    call, switches = talk(llm=fault)
    agent = " ".join(text for role, text in call.said if role == "agent")
    assert agent.endswith("Goodbye.")
    assert agent.count("On Tuesday.") >= 1
    assert longest_silence_ms(call) <= LONGEST_SILENCE_MS
    assert {switch.stage for switch in switches.seen} == {"llm"}
    assert call.result.reason == "agent_hung_up"


def test_everything_hangs_and_local_engines_take_over(talk: Callable[..., tuple[Call, Switches]]) -> None:
    call, switches = talk(stt=HANG, tts=HANG, llm=(HANG,))
    assert call.said[-1][1].endswith("On Tuesday. Goodbye.")
    assert longest_silence_ms(call) <= LONGEST_SILENCE_MS
    assert switches.stages == {"stt": "late", "tts": "late", "llm": "late"}


def test_recognition_hangs_and_nobody_can_take_over(talk: Callable[..., tuple[Call, Switches]]) -> None:
    call, switches = talk(stt=HANG, has_fallback=False, silences=[(Say("Goodbye."), EndCall())])
    assert call.said[1][1] == call.options.phrases.fillers[0]
    assert call.options.phrases.repeat in [text for _role, text in call.said]
    assert longest_silence_ms(call, within_ms=10_000) <= LONGEST_SILENCE_MS
    assert (call.result.reason, switches.seen) == ("silence_timeout", [])


def test_the_brain_hangs_and_nobody_can_take_over(talk: Callable[..., tuple[Call, Switches]]) -> None:
    call, switches = talk(llm=(Say("Hello there."), HANG), has_fallback=False)
    assert longest_silence_ms(call) <= LONGEST_SILENCE_MS
    assert call.said[0][1].startswith("Hello there. One moment, please.")
    assert ("agent", call.options.phrases.apology) in call.said
    assert (call.result.status, call.result.reason, call.result.fault) == ("failed", "llm_failed", "provider")
    assert not switches.seen


def test_a_broken_engine_rests_and_is_tried_again(in_virtual_time: Callable[..., Any]) -> None:
    async def main() -> None:
        broken, good = BrokenConversation((REFUSED,)), BrokenConversation((Say("Yes."),))
        seen: list[Switch] = []
        conversation = FallbackConversation(Chain("llm", [("vendor", broken), ("local", good)], seen.append), "?")
        for asked in (1, 1, 1):
            assert [output async for output in conversation.silence(1)] == [Say("Yes.")]
            assert broken.asked == asked
        assert [(one.engine, one.successor, one.why) for one in seen] == [("vendor", "local", "failed")]
        await asyncio.sleep(31)
        broken.outputs = (Say("Better."),)
        assert [output async for output in conversation.silence(1)] == [Say("Better.")]

    in_virtual_time(main())  # type: ignore[arg-type] # returns nothing


@pytest.mark.parametrize(("refusal", "reason"), [(None, "transferred"), (486, "llm_failed")])
def test_a_broken_call_goes_to_a_colleague(place_call: Callable[..., Call], refusal: int | None, reason: str) -> None:
    async def callee(call: Call) -> None:
        call.leg.refusal = refusal

    options = SessionOptions(rescue_number="+12025550177")
    call = place_call(callee, options=options, first=(REFUSED,))
    assert call.result.reason == reason
    assert call.said[0] == ("agent", options.phrases.rescue)
    assert call.leg.transferred_to == (None if refusal else "+12025550177")


def test_last_words_need_no_engine(place_call: Callable[..., Call]) -> None:
    async def callee(call: Call) -> None:
        await call.until_agent_spoke(1)
        call.synthesizer.error = EngineError("tts", "connection refused")
        await call.hum(600)

    call = place_call(callee, hears=["When?"], replies=[(Say("On Tuesday."),)])
    assert call.said[-1] == ("agent", call.options.phrases.apology)
    assert (call.result.status, call.result.reason) == ("failed", "tts_failed")
