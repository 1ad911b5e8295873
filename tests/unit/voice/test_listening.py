"""What the ear gives to recognition: all of the words, little else, and nothing stale."""

import asyncio
from dataclasses import dataclass, field

from call_service.carriers.port import FRAME_BYTES
from call_service.voice.endpointing import EndpointingOptions, TurnEvent
from call_service.voice.engines.null import LevelActivity
from call_service.voice.listening import PRE_ROLL_MS, TAIL_MS, Ear, Utterance


@dataclass
class LengthRecognizer:
    """Answers with the milliseconds it got, once `may_answer` is set."""

    is_busy: bool = False
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[bytes] = field(default_factory=list)
    dropped: int = 0

    async def recognize(self, pcm: bytes) -> str:
        self.asked.append(pcm)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        return f"{len(pcm) // 16} ms"


class Line:
    """An ear and its clock."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.recognizer = LengthRecognizer()
        self.ear = Ear(self.recognizer, LevelActivity(), EndpointingOptions(), lambda: self.now_ms)

    async def hear(self, *, voice: bool, ms: int) -> list[TurnEvent | Utterance]:
        events = []
        for _ in range(ms // 20):
            self.now_ms += 20
            if event := self.ear.hear(b"\x00\x20" * (FRAME_BYTES // 2) if voice else bytes(FRAME_BYTES)):
                events.append(event)
            await asyncio.sleep(0)
        return events


async def test_an_utterance_has_a_pre_roll_and_a_short_tail() -> None:
    line = Line()
    line.recognizer.may_answer.set()
    await line.hear(voice=False, ms=5000)
    await line.hear(voice=True, ms=1000)
    *_, utterance = await line.hear(voice=False, ms=600)
    assert isinstance(utterance, Utterance)
    assert (utterance.start_ms, utterance.end_ms, utterance.decided_ms) == (5000, 6000, 6500)
    assert await utterance.text == f"{PRE_ROLL_MS + 1000 + TAIL_MS} ms"
    assert len(line.recognizer.asked) == 1


async def test_the_next_utterance_holds_nothing_of_the_one_before() -> None:
    line = Line()
    line.recognizer.may_answer.set()
    for _ in range(2):
        await line.hear(voice=True, ms=1000)
        *_, utterance = await line.hear(voice=False, ms=700)
    assert isinstance(utterance, Utterance)
    assert int((await utterance.text).split()[0]) <= PRE_ROLL_MS + 1000 + TAIL_MS


async def test_a_guess_is_dropped_and_forgotten_when_speech_resumes() -> None:
    line = Line()
    await line.hear(voice=True, ms=400)
    await line.hear(voice=False, ms=400)
    assert line.recognizer.dropped == 0
    line.recognizer.is_busy = True
    await line.hear(voice=True, ms=400)
    *_, utterance = await line.hear(voice=False, ms=600)
    assert isinstance(utterance, Utterance)
    line.recognizer.may_answer.set()
    assert await utterance.text == f"{400 + 400 + 400 + TAIL_MS} ms"
    assert line.recognizer.dropped == 1


async def test_closing_drops_what_is_being_recognised() -> None:
    line = Line()
    await line.hear(voice=True, ms=400)
    *_, utterance = await line.hear(voice=False, ms=600)
    assert isinstance(utterance, Utterance)
    line.ear.close()
    await asyncio.wait({utterance.text})
    assert utterance.text.cancelled()
