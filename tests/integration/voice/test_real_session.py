"""A whole call with the real engines in real time, and the same words found again in its recording."""

import asyncio
import string
import wave
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import jiwer
import numpy as np
import pytest

from call_service.carriers.g711 import over_the_wire
from call_service.carriers.port import FRAME_MS
from call_service.carriers.ticker import Ticker
from call_service.voice.detection import Verdict
from call_service.voice.engines.bundle import Engines, load_engines
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import SessionOptions, SessionResult, TurnTimings
from call_service.voice.ports import BrainOutput, EndCall, Role, Say, Turn
from call_service.voice.recorder import Recorder
from call_service.voice.session import VoiceSession

OPENING = "Hello, this is Anna from the dental office. How can I help you?"
WISH = "I would like to come in on Tuesday morning."
CONFIRMATION = "You are booked for Tuesday morning at ten o'clock. Please bring your insurance card with you."
THANKS = "Thank you very much, that is all."
GOODBYE = "Thank you for calling and goodbye."


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    loaded = asyncio.run(load_engines())
    yield loaded
    loaded.close()


class Receptionist:
    def __init__(self) -> None:
        self._answers = iter([(Say(CONFIRMATION),), (Say(GOODBYE), EndCall())])

    async def opening(self) -> AsyncIterator[BrainOutput]:
        yield Say(OPENING)

    async def reply(self, heard: str, history: Sequence[Turn]) -> AsyncIterator[BrainOutput]:
        for output in next(self._answers):
            yield output

    async def silence(self, count: int) -> AsyncIterator[BrainOutput]:
        yield EndCall()


class Callee:
    """States its wish when the agent is done, and interrupts the confirmation."""

    def __init__(self, leg: MemoryLeg, wish: bytes, thanks: bytes) -> None:
        self._leg = leg
        self._words = [wish, thanks]
        self.interrupted_at: float | None = None

    def on_turn(self, turn: Turn, timings: TurnTimings) -> None:
        if turn.role == "agent" and len(self._words) == 2:
            self._leg.say(bytes(16 * 200) + self._words.pop(0))

    def on_speech_started(self, role: Role) -> None:
        if role == "agent" and len(self._words) == 1:
            self._leg.say(bytes(16 * 1500) + self._words.pop(0))

    def on_collected(self, field: str, value: str) -> None: ...

    def on_detected(self, verdict: Verdict, at_ms: int) -> None: ...


async def hold_call(engines: Engines, path: Path) -> SessionResult:
    wish, thanks = [over_the_wire(await engines.synthesizer.synthesize(text, "heart")) for text in (WISH, THANKS)]
    leg, ticker, recorder = MemoryLeg(), Ticker(), Recorder(path)
    options = SessionOptions(hello_wait=timedelta(0), silence_timeout=timedelta(seconds=3))
    session = VoiceSession(leg, engines, Receptionist(), options, Callee(leg, wish, thanks), recorder=recorder)
    leg.on_event(session.on_leg_event)
    ticker.add(leg)
    try:
        result = await asyncio.wait_for(session.run(), 40)
    finally:
        ticker.remove(leg)
    assert await recorder.finish() == path
    return result


def tracks(path: Path) -> tuple[bytes, bytes]:
    with wave.open(str(path)) as recording:
        stereo = np.frombuffer(recording.readframes(recording.getnframes()), "<i2").reshape(-1, 2)
    return stereo[:, 0].tobytes(), stereo[:, 1].tobytes()


def words(text: str) -> str:
    return text.lower().replace("-", " ").translate(str.maketrans("", "", string.punctuation))


async def test_a_call_is_held_and_its_recording_says_the_same(engines: Engines, tmp_path: Path) -> None:
    result = await hold_call(engines, tmp_path / "call.wav")
    opening, wish, confirmation, thanks, goodbye = result.turns
    assert (result.status, result.reason) == ("completed", "agent_hung_up")
    assert [turn.role for turn in result.turns] == ["agent", "user", "agent", "user", "agent"]
    assert (opening.text, goodbye.text) == (OPENING, GOODBYE)
    assert jiwer.wer(words(f"{WISH} {THANKS}"), words(f"{wish.text} {thanks.text}")) <= 0.15
    assert confirmation.interrupted
    assert CONFIRMATION.startswith(confirmation.text)
    assert 3 <= len(confirmation.text.split()) <= 9
    assert result.timings[2].barge_in_ms is not None
    assert result.timings[2].barge_in_ms <= 1000, "it would have gone on for seconds"

    callee, agent = tracks(tmp_path / "call.wav")
    for track, turns in ((callee, (wish, thanks)), (agent, (opening, confirmation, goodbye))):
        for turn in turns:
            pcm = track[16 * max(0, turn.start_ms - 3 * FRAME_MS) : 16 * (turn.end_ms + 3 * FRAME_MS)]
            again = await engines.recognizer.recognize(pcm)
            if turn.interrupted:  # where it was cut is estimated from the time it was heard
                assert abs(len(again.split()) - len(turn.text.split())) <= 3, (turn.text, again)
            else:
                assert jiwer.wer(words(turn.text), words(again)) <= 0.34, (turn.text, again)
