"""Sentences that are heard while they are still being made, and what becomes of those that never get whole."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest

from call_service.carriers.port import BYTES_PER_MS
from call_service.voice.engines.null import NullSynthesizer
from call_service.voice.fallback import Chain, FallbackSynthesizer, Switch
from call_service.voice.options import SessionOptions
from call_service.voice.ports import EndCall, EngineError, Say
from call_service.voice.synthesis import InPieces
from tests.unit.voice.conftest import Call, Scenario, ScriptedConversation, ScriptedRecognizer, longest_silence_ms

PIECE_MS = 100
PIECE = PIECE_MS * BYTES_PER_MS
HANG = 3600.0
BROKEN = EngineError("tts", "cut")
LONG = "We are open from nine to five on every day but Sunday."  # 12 words, 4 s


class Piecemeal(InPieces):
    """Hums in pieces of 100 ms that take `seconds` each; `fault` comes after `good` of them."""

    def __init__(self, seconds: float, *, fault: Exception | float | None = None, good: int = 0) -> None:
        self._whole = NullSynthesizer()
        self._seconds, self._fault, self._good = seconds, fault, good
        self.is_closed = False

    async def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:
        pcm = await self._whole.synthesize(text, voice_id)
        try:
            for at in range(0, len(pcm), PIECE):
                if self._fault is not None and at // PIECE == self._good:
                    await self._fail(self._fault)
                await asyncio.sleep(self._seconds)
                yield pcm[at : at + PIECE]
        finally:
            self.is_closed = True

    @staticmethod
    async def _fail(fault: Exception | float) -> None:
        if isinstance(fault, Exception):
            raise fault
        await asyncio.sleep(fault)


@pytest.fixture
def ask(in_virtual_time: Callable[..., Call]) -> Callable[..., Call]:
    """One question, and its answer `LONG` by a synthesizer, in virtual time."""

    def place(synthesizer: Any, callee: Scenario | None = None) -> Call:
        async def question(call: Call) -> None:
            await call.until_agent_spoke(1)
            call.played.clear()
            await call.hum(600)
            if callee:
                await callee(call)

        async def main() -> Call:
            conversation = ScriptedConversation(replies=[(Say(LONG), EndCall()) if callee is None else (Say(LONG),)])
            call = Call(
                conversation,
                ScriptedRecognizer(["When?"]),
                synthesizer,
                SessionOptions(hello_wait=timedelta(milliseconds=500)),
            )
            await call.run(question)
            return call

        return in_virtual_time(main())

    return place


def test_a_sentence_is_heard_from_its_first_piece(ask: Callable[..., Call]) -> None:
    call = ask(Piecemeal(0.05))
    answer = call.result.timings[-1]
    assert call.said[-1] == ("agent", LONG)
    assert answer.synthesis_ms == pytest.approx(50, abs=2)
    assert answer.voice_to_voice_ms == pytest.approx(500 + 50, abs=40), "the whole sentence takes two seconds"
    assert answer.playout_ms == pytest.approx(330 * len(LONG.split()), abs=20)


def test_an_interruption_stops_the_synthesis_and_only_what_was_heard_counts(ask: Callable[..., Call]) -> None:
    synthesizer = Piecemeal(0.09)

    async def callee(call: Call) -> None:
        await call.until(lambda: any(call.played[-PIECE:]))
        await call.wait(1)
        await call.hum(1500)
        assert synthesizer.is_closed
        call.session.request_end("test")

    call = ask(synthesizer, callee)
    (cut,) = (turn for turn in call.result.turns if turn.interrupted)
    assert LONG.startswith(cut.text)
    assert 2 <= len(cut.text.split()) <= 5, "a little more than a second of four"


@pytest.mark.parametrize(("fault", "why"), [(BROKEN, "failed"), (HANG, "late")])
async def test_the_next_engine_goes_on_where_the_first_broke_off(fault: Any, why: str) -> None:
    seen: list[Switch] = []
    vendor = Piecemeal(0, fault=fault, good=4)
    pieces = FallbackSynthesizer(Chain("tts", [("vendor", vendor), ("local", NullSynthesizer())], seen.append))
    async with asyncio.timeout(3):
        spoken = await pieces.synthesize("Good morning to you.", "heart")
    whole = await NullSynthesizer().synthesize("Good morning to you.", "heart")
    assert spoken == whole[: 4 * PIECE] + whole[PIECE:], "300 ms are said again"
    assert [(switch.engine, switch.successor, switch.why) for switch in seen] == [("vendor", "local", why)]
    assert vendor.is_closed


FAULTS = {"cut": (0.01, BROKEN, 5), "stalls": (0.01, HANG, 5), "dribbles": (0.4, None, 0)}


@pytest.mark.parametrize(("seconds", "fault", "good"), FAULTS.values(), ids=FAULTS)
def test_speech_that_breaks_off_is_no_silence(
    ask: Callable[..., Call], seconds: float, fault: Exception | float | None, good: int
) -> None:
    seen: list[Switch] = []
    vendor = Piecemeal(seconds, fault=fault, good=good)
    call = ask(FallbackSynthesizer(Chain("tts", [("vendor", vendor), ("local", NullSynthesizer())], seen.append)))
    assert call.said[-1] == ("agent", LONG)
    assert longest_silence_ms(call) <= 1_600, "the callee's question and 500 ms after it are in this"
    assert {switch.stage for switch in seen} == {"tts"}
    assert call.result.reason == "agent_hung_up"


async def test_what_falls_behind_its_playing_is_late_and_what_is_held_back_by_the_listener_is_not() -> None:
    seen: list[Switch] = []
    chain = Chain("tts", [("vendor", Piecemeal(0.001)), ("local", NullSynthesizer())], seen.append)
    async with aclosing(FallbackSynthesizer(chain).stream("One two three.", "heart")) as pieces:
        assert await anext(pieces)
        await asyncio.sleep(1)  # the audio plays for 100 ms
        rest = [piece async for piece in pieces]
    assert len(rest) == 9
    assert not seen
