"""What a model says itself: sound that comes in pieces, is played as it comes, and may be cut off."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from call_service.voice.engines.null import MS_PER_WORD
from call_service.voice.options import Phrases
from call_service.voice.ports import EndCall, EngineError, Say, Spoken

GOODBYE = (Say("Thank you and goodbye."), EndCall())


@dataclass
class Item:
    """One utterance of a model, and how much of it was said to be heard."""

    name: str = "item_1"
    cuts: list[int] = field(default_factory=list)

    def part(self, seconds: float, text: str, *, is_question: bool = False) -> Spoken:
        sound = b"\x10\x27" * int(8000 * seconds)
        return Spoken(self.name, sound, text, self.cuts.append, "yes_no" if is_question else "open")


def test_pieces_are_one_turn_and_nothing_was_cut(place_call: Callable[..., Any]) -> None:
    item = Item()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)

    said = (item.part(0.25, "How can "), item.part(0.5, "I help "), item.part(0.03, "you?"), EndCall())
    call = place_call(callee, hears=["Hello."], replies=[said])
    assert call.said[-1] == ("agent", "How can I help you?")
    assert call.result.timings[-1].playout_ms == 780
    assert call.result.timings[-1].brain_ms == 0
    assert item.cuts == []


def test_a_filler_between_the_pieces_does_not_count_as_heard_of_the_item(place_call: Callable[..., Any]) -> None:
    item = Item()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until(lambda: call.notes.starts.count("agent") == 2)
        await call.until(lambda: len(call.synthesizer.texts) and call.leg.queued_ms > 3000)
        await call.wait(1.0)
        await call.hum(1200)
        await call.until_agent_spoke(3)

    said = (item.part(1.0, "One two "), 4.0, item.part(5.0, "three four five six seven eight nine ten"))
    call = place_call(callee, hears=["Tell me.", "Stop."], replies=[said, GOODBYE])
    turn = next(turn for turn in call.result.turns if turn.interrupted)
    assert turn.text.startswith(f"One two {Phrases().fillers[0]}")
    [heard_ms] = item.cuts
    filler_ms = turn.end_ms - turn.start_ms - heard_ms
    assert 1900 <= heard_ms <= 2500
    assert filler_ms == len(Phrases().fillers[0].split()) * MS_PER_WORD


def test_what_was_held_and_went_on_is_not_cut(place_call: Callable[..., Any]) -> None:
    item = Item()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until(lambda: call.notes.starts.count("agent") == 2)
        await call.wait(1.0)
        await call.hum(300)
        assert call.leg.queued_ms == 0, "the audio stopped at once"
        await call.until_agent_spoke(2)
        await call.wait(1)
        call.leg.end()

    said = (item.part(2.0, "One two three "), 2.0, item.part(1.0, "four"))
    call = place_call(callee, hears=["Tell me.", "Uh-huh."], replies=[said, GOODBYE])
    assert ("agent", "One two three four") in call.said
    assert item.cuts == []


def test_a_stream_that_breaks_is_played_as_far_as_it_came(place_call: Callable[..., Any]) -> None:
    item = Item()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)

    said = (item.part(1.0, "One two"), EngineError("s2s", "gone"))
    call = place_call(callee, hears=["Tell me."], replies=[said])
    assert ("agent", "One two") in call.said
    assert (call.result.status, call.result.reason) == ("failed", "s2s_failed")
    assert item.cuts == []
