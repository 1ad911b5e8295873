"""Who speaks when: opening, answers, interruptions."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from call_service.carriers.port import DtmfReceived
from call_service.voice.options import SessionOptions
from call_service.voice.ports import Collected, EndCall, Say

GOODBYE = (Say("Thank you and goodbye."), EndCall())


def test_the_agent_opens_answers_and_hangs_up(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.wait(0.3)
        await call.hum(800)
        await call.until_agent_spoke(2)
        await call.wait(0.3)
        await call.hum(400)

    call = place_call(
        callee,
        hears=["I want an appointment.", "Yes."],
        replies=[(Collected("topic", "appointment"), Say("On Tuesday?", "yes_no")), GOODBYE],
    )
    assert call.said == [
        ("agent", "Hello this is Anna."),
        ("user", "I want an appointment."),
        ("agent", "On Tuesday?"),
        ("user", "Yes."),
        ("agent", "Thank you and goodbye."),
    ]
    assert (call.result.status, call.result.reason, call.result.fault) == ("completed", "agent_hung_up", "none")
    assert call.result.data == call.notes.collected == {"topic": "appointment"}
    assert [len(history) for history in call.conversation.histories] == [1, 3]
    assert call.notes.turns == list(call.result.turns)
    assert call.notes.starts == ["agent", "user", "agent", "user", "agent"]
    assert call.conversation.closed == 3


def test_timings_add_up_to_what_the_callee_waited_for(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(800)

    call = place_call(callee, hears=["Good day."], replies=[(0.1, *GOODBYE)])
    user, agent = call.result.timings[1], call.result.timings[2]
    assert user.endpointing_ms == 500
    assert user.recognition_ms == 0, "it was recognised while the endpoint was awaited"
    assert agent.brain_ms == pytest.approx(100, abs=2)
    assert agent.synthesis_ms == pytest.approx(30, abs=2)
    assert agent.voice_to_voice_ms == pytest.approx(500 + 100 + 30, abs=40)


def test_an_answer_to_a_yes_no_question_ends_sooner(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(300)

    call = place_call(callee, hears=["Yes."], first=(Say("Are you Anna?", "yes_no"),), replies=[GOODBYE])
    assert call.result.timings[1].endpointing_ms == 300
    assert call.result.timings[2].voice_to_voice_ms <= 400


def test_spelled_digits_get_more_time(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(1500)
        await call.wait(0.7)
        await call.hum(1500)

    call = place_call(
        callee, hears=["My number is four one five", "My number is four one five five five five"], replies=[GOODBYE]
    )
    assert call.conversation.heard == ["My number is four one five five five five"]


def test_hello_is_waited_for_and_kept(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.2)
        await call.hum(600)
        await call.until_agent_spoke(1)
        await call.wait(0.5)
        call.leg.end()

    call = place_call(callee, hears=["Hello?"])
    assert call.said == [("user", "Hello?"), ("agent", "Hello this is Anna.")]
    user, agent = call.result.turns
    assert agent.start_ms == pytest.approx(user.end_ms + 300, abs=60)
    assert call.conversation.heard == []


def test_hello_over_the_opening_is_kept_and_does_not_stop_it(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.hum(400)
        await call.until_agent_spoke(1)
        call.leg.end()

    call = place_call(callee, hears=["Hello?"])
    assert call.said == [("agent", "Hello this is Anna."), ("user", "Hello?")]
    assert not call.result.turns[0].interrupted


def test_barge_in_stops_the_audio_and_truncates_the_turn(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until(lambda: call.notes.starts.count("agent") == 2)
        await call.wait(1.0)
        await call.hum(700)
        assert call.leg.queued_ms == 0

    sentence = "one two three four five six seven eight nine ten"
    call = place_call(
        callee,
        hears=["Tell me.", "Stop."],
        replies=[(Say(sentence), Say("Never said at all."), Say("Nor this one.")), GOODBYE],
    )
    cut = call.result.turns[2]
    assert cut.interrupted
    assert cut.text == "one two three"
    assert cut.end_ms - cut.start_ms == pytest.approx(1140, abs=60)
    assert call.result.timings[2].barge_in_ms == 120
    assert call.said[3:] == [("user", "Stop."), ("agent", "Thank you and goodbye.")]
    assert call.conversation.histories[1][2] == cut
    assert len(call.recognizer.heard_pcm[-1]) >= 16 * 700, "all of what interrupted is recognised"
    assert "Nor this one." not in call.synthesizer.texts


def test_a_short_sound_does_not_interrupt(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until(lambda: call.notes.starts.count("agent") == 2)
        await call.wait(0.3)
        await call.hum(100)

    long = Say("one two three four five six seven eight")
    call = place_call(callee, hears=["Tell me.", "Mhm."], replies=[(long, *GOODBYE)])
    assert call.said[1:] == [("user", "Tell me."), ("agent", f"{long.text} Thank you and goodbye."), ("user", "Mhm.")]
    assert not call.result.turns[2].interrupted
    assert call.conversation.heard == ["Tell me."]


def test_noise_that_interrupted_is_asked_about(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until(lambda: call.notes.starts.count("agent") == 2)
        await call.wait(1.0)
        await call.hum(900)
        await call.until_agent_spoke(3)
        call.leg.end()

    call = place_call(callee, hears=["Tell me.", ""], replies=[(Say("one two three four five six seven"),)])
    assert call.said[-1] == ("agent", call.options.phrases.repeat)


def test_words_added_while_the_agent_thinks_join_the_question(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until(lambda: call.conversation.heard)
        await call.hum(500)

    call = place_call(
        callee, hears=["I need a table", "for four people."], replies=[(2.0, Say("Never said.")), GOODBYE]
    )
    assert call.conversation.heard == ["I need a table", "I need a table for four people."]
    assert [len(history) for history in call.conversation.histories] == [1, 1]
    assert "Never said." not in call.synthesizer.texts


def test_a_pause_in_mid_sentence_is_one_turn(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.wait(0.4)
        await call.hum(500)

    call = place_call(callee, hears=["dropped guess", "All of it."], replies=[GOODBYE])
    assert call.conversation.heard == ["All of it."]


def test_a_busy_recognizer_is_not_asked_for_guesses(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.wait(0.4)
        await call.hum(500)

    call = place_call(callee, hears=["All of it."], is_busy=True, replies=[GOODBYE])
    assert call.conversation.heard == ["All of it."]
    assert call.result.timings[1].recognition_ms == pytest.approx(50, abs=2)


@pytest.mark.parametrize("keys", ["42#", "42"])
def test_keys_are_a_turn(place_call: Callable[..., Any], keys: str) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        for key in keys:
            call.leg.emit(DtmfReceived(key))
            await call.wait(0.5)

    call = place_call(callee, replies=[GOODBYE])
    assert call.said[1] == ("user", keys)
    assert call.conversation.heard == [keys]


def test_keys_being_pressed_are_no_silence(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        for key in "4242":
            await call.wait(0.9)
            call.leg.emit(DtmfReceived(key))

    options = SessionOptions(silence_timeout=timedelta(seconds=1))
    call = place_call(callee, options=options, replies=[GOODBYE], silences=[(Say("Are you there?"),)])
    assert call.said[1:] == [("user", "4242"), ("agent", "Thank you and goodbye.")]


def test_a_key_interrupts(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(0.7)
        call.leg.emit(DtmfReceived("#"))

    call = place_call(callee, first=(Say("one two three four five six seven"),), replies=[GOODBYE])
    assert call.said[:2] == [("agent", "one two"), ("user", "#")]


def test_a_listener_that_fails_does_not_end_the_call(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        call.notes.on_speech_started = lambda role: 1 / 0
        await call.until_agent_spoke(1)
        await call.hum(500)

    call = place_call(callee, hears=["Bye."], replies=[GOODBYE])
    assert call.result.reason == "agent_hung_up"


def test_sentences_are_synthesised_one_ahead(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(0.3)
        assert "four five six" in call.synthesizer.texts
        assert "seven eight" not in call.synthesizer.texts

    call = place_call(
        callee,
        options=SessionOptions(hello_wait=timedelta(0)),
        first=(Say("one two three"), Say("four five six"), Say("seven eight"), EndCall()),
    )
    assert call.said == [("agent", "one two three four five six seven eight")]
