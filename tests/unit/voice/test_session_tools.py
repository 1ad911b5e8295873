"""What a brain does beside talking: keys, transfers, waiting for tools; and callers who type."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from call_service.carriers.port import DtmfReceived, KeysNotSentError
from call_service.voice.options import DetectionPolicy, Phrases, SessionOptions
from call_service.voice.ports import EndCall, Listen, Press, Say, Transfer, Working
from call_service.voice.session import VoiceSession

GREETED = (Say("Hello this is Anna."),)
MENU = "For sales, press one. For support, press two."
BYE = (Say("Goodbye."), EndCall())
LONG = Say("word " * 40)

Place = Callable[..., Any]


def in_menus(**options: Any) -> SessionOptions:
    return SessionOptions(detection=DetectionPolicy(ivr="navigate"), **options)


def test_keys_are_pressed_after_the_words_before_them_were_heard(place_call: Place) -> None:
    pressed_at = list[int]()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(1_000)
        await call.until(lambda: call.leg.sent_dtmf)
        pressed_at.append(call.session.now_ms())
        call.leg.end()

    call = place_call(callee, first=GREETED, hears=["Your code, please."], replies=[(Say("Gladly."), Press("42#"))])
    assert call.leg.sent_dtmf == "42#"
    spoken = next(turn for turn in call.result.turns if turn.text == "Gladly.")
    assert 0 <= pressed_at[0] - spoken.end_ms <= 60


def test_after_keys_that_cannot_be_pressed_the_conversation_goes_on(place_call: Place) -> None:
    async def refuse(_digits: str) -> None:
        raise KeysNotSentError("call_on_hold")

    async def callee(call: Any) -> None:
        call.leg.send_dtmf = refuse
        await call.until_agent_spoke(1)
        await call.hum(1_000)
        await call.until_agent_spoke(2)
        call.leg.end()

    call = place_call(callee, first=GREETED, hears=["Your code, please."], replies=[(Press("42#"), Say("I am here."))])
    assert call.said[-1] == ("agent", "I am here.")


def test_a_menu_that_speaks_over_the_agent_is_answered_at_once(place_call: Place) -> None:
    """It does not listen, and may not say it a second time."""

    async def callee(call: Any) -> None:
        await call.wait(0.2)
        await call.hum(3_000)
        await call.until(lambda: call.leg.sent_dtmf)
        await call.wait(20)  # on hold: far longer than the silence time-out
        await call.hum(2_000)
        await call.wait(20)
        await call.hum(1_000)
        await call.until_agent_spoke(1)
        call.leg.end()

    replies = [(Press("1"),), (Listen(),), (Say("I would like to order."),)]
    hears = [MENU, "Please hold.", "Hello?"]
    call = place_call(callee, first=(LONG,), hears=hears, replies=replies, options=in_menus())
    assert call.leg.sent_dtmf == "1"
    assert call.conversation.heard == hears
    assert [text for role, text in call.said if role == "agent"] == ["I would like to order."]


def test_without_menus_to_pass_a_recording_is_left_alone(place_call: Place) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.2)
        await call.hum(3_000)
        await call.until_agent_spoke(1)
        call.leg.end()

    call = place_call(callee, first=GREETED, hears=[MENU])
    assert call.conversation.heard == []
    assert ("agent", "Hello this is Anna.") in call.said


def transferring(call: Any, wanted: list[Transfer], then: Callable[[VoiceSession], object]) -> None:
    def note(transfer: Transfer) -> None:
        wanted.append(transfer)
        then(call.session)

    call.session.transfer = note


def test_a_transfer_begins_when_the_last_word_was_heard(place_call: Place) -> None:
    wanted, wish = list[Transfer](), Transfer("+12025550101", "warm", "Here is a caller.")

    async def callee(call: Any) -> None:
        transferring(call, wanted, lambda session: session.leave())
        await call.until_agent_spoke(1)
        await call.hum(1_000)

    replies = [(Say("I will connect you now."), wish, Say("Never said."))]
    call = place_call(callee, first=GREETED, hears=["A person, please."], replies=replies)
    assert wanted == [wish]
    assert (call.result.status, call.result.reason) == ("completed", "transferred")
    assert call.said[-1] == ("agent", "I will connect you now.")


def test_who_says_something_before_is_not_transferred(place_call: Place) -> None:
    wanted = list[Transfer]()

    async def callee(call: Any) -> None:
        transferring(call, wanted, lambda _session: None)
        await call.until_agent_spoke(1)
        await call.hum(1_000)
        await call.until(lambda: call.notes.starts[-1] == "agent" and len(call.notes.starts) >= 3)
        await call.wait(1)
        await call.hum(1_200)
        await call.until_agent_spoke(3)
        call.leg.end()

    replies = [(LONG, Transfer("+12025550101")), (Say("All right."),)]
    call = place_call(callee, first=GREETED, hears=["A person, please.", "No, wait."], replies=replies)
    assert wanted == []
    assert call.said[-1] == ("agent", "All right.")


@pytest.mark.parametrize(
    ("heard", "ms"),
    [("Thank you.", 400), ("Okay, thank you very much.", 1_400), ("Yes, please.", 600), ("", 900)],
    ids=["thanks", "long thanks", "yes please", "noise"],
)
def test_thanks_for_a_transfer_do_not_undo_it(place_call: Place, heard: str, ms: int) -> None:
    wanted, wish = list[Transfer](), Transfer("+12025550101")

    async def callee(call: Any) -> None:
        transferring(call, wanted, lambda session: session.leave())
        await call.until_agent_spoke(1)
        await call.hum(1_000)
        await call.until(lambda: call.notes.starts.count("agent") == 2)
        await call.wait(0.5)
        await call.hum(ms)

    replies = [(Say("I will connect you with a colleague of mine now."), wish), (Say("You are welcome."),)]
    call = place_call(callee, first=GREETED, hears=["A person, please.", heard], replies=replies)
    assert wanted == [wish]
    assert call.conversation.heard == ["A person, please."]
    assert ("agent", "I will connect you with a colleague of mine now.") in call.said


def test_a_tool_may_take_longer_than_a_brain(place_call: Place) -> None:
    """Fillers keep the caller company; the engine's time-out does not end the call."""
    beats = [item for _ in range(30) for item in (0.5, Working())]

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(1_000)
        await call.until_agent_spoke(2)
        call.leg.end()

    options = SessionOptions(engine_timeout=timedelta(seconds=3), hello_wait=timedelta(milliseconds=500))
    replies = [(*beats, Say("It was sent."))]
    call = place_call(callee, first=GREETED, hears=["Where is it?"], replies=replies, options=options)
    answer = call.said[-1][1]
    assert answer.endswith("It was sent.")
    assert Phrases().fillers[0] in answer


@pytest.mark.parametrize("keys", ["1", "42#"])
def test_a_key_ends_a_prompt_at_once_and_what_was_typed_is_a_turn(place_call: Place, keys: str) -> None:
    stopped_ms = list[int]()

    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(1)
        pressed_ms = call.session.now_ms()
        for key in keys:
            call.leg.emit(DtmfReceived(key))
        assert call.leg.queued_ms == 0
        await call.until_agent_spoke(1)
        stopped_ms.append(call.notes.turns[0].end_ms - pressed_ms)
        await call.until_agent_spoke(2)
        call.leg.end()

    call = place_call(callee, first=(LONG,), replies=[(Say("Thank you."),)])
    assert call.conversation.heard == [keys]
    assert stopped_ms[0] <= 20
    assert [(role, text) for role, text in call.said[1:]] == [("user", keys), ("agent", "Thank you.")]
    assert call.result.turns[0].interrupted


def test_keys_that_are_typed_while_a_tool_works_are_the_next_turn(place_call: Place) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(1_000)
        await call.until(lambda: call.conversation.heard)
        await call.wait(0.5)
        for key in "7#":
            call.leg.emit(DtmfReceived(key))
        await call.until_agent_spoke(2)
        call.leg.end()

    replies = [(Working(), 30.0, Say("Never said.")), (Say("Seven, thank you."),)]
    call = place_call(callee, first=GREETED, hears=["Where is it?"], replies=replies)
    assert call.conversation.heard == ["Where is it?", "Where is it? 7#"]
    assert call.conversation.closed == 3
    assert call.said[-1] == ("agent", "Seven, thank you.")


def test_keys_may_be_typed_while_the_caller_is_asked_something_else(place_call: Place) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        for key in "12":
            call.leg.emit(DtmfReceived(key))
            await asyncio.sleep(0.4)
        await call.until_agent_spoke(2)
        call.leg.end()

    call = place_call(callee, first=GREETED, replies=[BYE])
    assert call.conversation.heard == ["12"]
