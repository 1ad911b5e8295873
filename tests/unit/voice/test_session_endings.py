"""How calls end: said to the end, for the right reason, with nothing left running."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from call_service.carriers.port import Cause, MachineDetected
from call_service.voice.options import SessionOptions
from call_service.voice.ports import EndCall, EngineError, Say

GOODBYE = (Say("Thank you and goodbye."), EndCall())
GREETING = "You have reached Anna. Please leave a message after the tone."


def ending(call: Any) -> tuple[str, str, str]:
    return call.result.status, call.result.reason, call.result.fault


async def nothing(call: Any) -> None:
    return


def test_the_goodbye_is_played_to_its_end_though_the_callee_speaks(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(0.2)
        await call.hum(900)

    call = place_call(callee, first=GOODBYE, hears=["Bye bye."])
    assert ending(call) == ("completed", "agent_hung_up", "none")
    hummed = sum(any(call.played[at : at + 320]) for at in range(0, len(call.played), 320))
    assert hummed * 20 == pytest.approx(4 * 330, abs=20)
    assert not call.result.turns[0].interrupted


def test_the_callee_hangs_up_in_mid_sentence(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(1.0)
        call.leg.end()

    call = place_call(callee, first=(Say("one two three four five six"),))
    assert ending(call) == ("completed", "callee_hung_up", "none")
    assert call.result.turns[0].text in {"one two", "one two three"}
    assert call.result.turns[0].interrupted


def test_lost_media_is_the_carriers_fault(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        call.leg.end(Cause.MEDIA_LOST)

    assert ending(place_call(callee)) == ("failed", "media_lost", "carrier")


def test_silence_is_asked_about_and_ends_the_call(place_call: Callable[..., Any]) -> None:
    call = place_call(nothing, silences=[(Say("Are you there?"),), (Say("Then goodbye."), EndCall())])
    assert ending(call) == ("silence", "silence_timeout", "callee")
    first, second, third = call.result.turns
    assert [first.text, second.text, third.text] == ["Hello this is Anna.", "Are you there?", "Then goodbye."]
    assert second.start_ms - first.end_ms == pytest.approx(6000, abs=100)
    assert third.start_ms - second.end_ms == pytest.approx(6000, abs=100)


def test_speech_starts_the_count_of_silences_anew(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(2)
        await call.hum(500)

    call = place_call(
        callee,
        hears=["I am here."],
        replies=[(Say("Good."),)],
        silences=[(Say("Are you there?"),), (Say("Then goodbye."), EndCall())],
    )
    assert [text for role, text in call.said if role == "agent"].count("Are you there?") == 2


def test_the_longest_duration_ends_with_a_goodbye(place_call: Callable[..., Any]) -> None:
    options = SessionOptions(max_duration=timedelta(seconds=20))
    call = place_call(nothing, options=options, silences=[(Say("word " * 60),)])
    assert ending(call) == ("completed", "max_duration", "none")
    assert call.said[-1] == ("agent", options.phrases.time_is_up)
    assert 20_000 <= call.result.turns[-1].end_ms < 25_000


def test_a_carrier_without_frames_cannot_hold_a_call(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        call.leg.tick = lambda: None

    options = SessionOptions(max_duration=timedelta(seconds=20))
    assert ending(place_call(callee, options=options)) == ("failed", "media_lost", "carrier")


def test_the_api_ends_politely(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(0.7)
        call.session.request_end("caller_api_ended")
        call.session.request_end("ignored")

    call = place_call(callee, first=(Say("one two three four five six"),))
    assert ending(call) == ("completed", "caller_api_ended", "none")
    assert call.said == [("agent", "one two"), ("agent", call.options.phrases.goodbye)]


def test_what_waits_is_not_answered_after_the_api_ended_the_call(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        call.recognizer.seconds = 3.0
        await call.hum(500)
        await call.wait(0.6)
        await call.hum(500)
        await call.wait(0.6)
        call.session.request_end("caller_api_ended")

    call = place_call(callee, hears=["First.", "Second."])
    assert call.said[1:] == [("user", "First."), ("user", "Second."), ("agent", call.options.phrases.goodbye)]
    assert "Second." not in call.conversation.heard


def test_one_failed_recognition_is_asked_again(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(500)
        await call.until_agent_spoke(2)
        await call.hum(500)

    call = place_call(callee, hears=[EngineError("stt", "x"), "Yes."], replies=[GOODBYE])
    assert call.said[1:3] == [("agent", call.options.phrases.repeat), ("user", "Yes.")]
    assert ending(call)[0] == "completed"


def test_two_failed_recognitions_end_the_call(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        for turns in (1, 2):
            await call.until_agent_spoke(turns)
            await call.hum(500)

    call = place_call(callee, hears=[EngineError("stt", "x"), EngineError("stt", "x")])
    assert ending(call) == ("failed", "stt_failed", "provider")
    assert call.said[-1] == ("agent", call.options.phrases.apology)


@pytest.mark.parametrize("fault", [EngineError("llm", "x"), ValueError("x")])
def test_a_failing_brain_apologises_after_what_it_said(place_call: Callable[..., Any], fault: object) -> None:
    call = place_call(nothing, first=(Say("Hello there."), fault))
    assert ending(call) == ("failed", "llm_failed", "provider")
    assert call.said == [("agent", "Hello there."), ("agent", call.options.phrases.apology)]


def test_failing_synthesis_ends_the_call(place_call: Callable[..., Any]) -> None:
    call = place_call(nothing, tts_error=RuntimeError("x"))
    assert ending(call) == ("failed", "tts_failed", "provider")
    assert call.said == []


def test_a_hang_up_during_the_apology_is_still_a_failure(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        call.leg.end()

    call = place_call(callee, first=(EngineError("llm", "x"),))
    assert ending(call) == ("failed", "llm_failed", "provider")


def test_a_fault_of_our_own_ends_the_call(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        call.session._ear.hear = lambda frame: 1 / 0

    assert ending(place_call(callee)) == ("failed", "internal_error", "platform")


def test_a_leg_that_fails_to_hang_up_hides_no_result(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        async def hang_up() -> None:
            raise OSError("x")

        call.leg.hang_up = hang_up

    assert ending(place_call(callee, first=GOODBYE)) == ("completed", "agent_hung_up", "none")


def test_voicemail_is_hung_up_on(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.1)
        await call.hum(3000)

    call = place_call(callee, hears=[GREETING])
    assert ending(call) == ("voicemail", "voicemail_detected", "none")
    assert call.said == [("user", GREETING)]


def test_a_greeting_that_talks_over_the_opening_is_found(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.hum(800)
        await call.until(lambda: "agent" in call.notes.starts)
        await call.hum(3000)

    call = place_call(callee, hears=["This is Anna.", "I am out. Leave a message after the beep."])
    assert ending(call)[0] == "voicemail"


def test_a_machine_found_during_the_goodbye_is_still_voicemail(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(0.3)
        call.leg.emit(MachineDetected(beep=False))

    call = place_call(callee, first=GOODBYE)
    assert ending(call)[0] == "voicemail"
    assert call.said == [("agent", "Thank you and goodbye.")]


@pytest.mark.parametrize("beep", [False, True])
def test_the_carrier_may_find_the_machine(place_call: Callable[..., Any], beep: bool) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.3)
        call.leg.emit(MachineDetected(beep=beep))

    call = place_call(callee)
    assert ending(call)[0] == "voicemail"
    assert call.said == []


def test_a_message_is_left_after_the_beep(place_call: Callable[..., Any], beep_pcm: bytes) -> None:
    async def callee(call: Any) -> None:
        await call.hum(3000)
        await call.wait(0.8)
        await call.hum(500)
        await call.wait(1.2)
        call.leg.say(beep_pcm)
        await call.until(lambda: not call.leg.callee_is_speaking)
        call.beep_ended_ms = call.session.now_ms()

    options = SessionOptions(voicemail_message="Please call Anna back.")
    call = place_call(callee, hears=[GREETING, "Goodbye."], options=options)
    assert ending(call)[0] == "voicemail"
    assert call.said[:2] == [("user", GREETING), ("user", "Goodbye.")]
    assert call.said[-1] == ("agent", "Please call Anna back.")
    assert call.result.turns[-1].start_ms - call.beep_ended_ms == pytest.approx(50, abs=40)
    assert not call.result.turns[-1].interrupted


def test_a_message_is_left_without_a_beep(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.hum(3000)

    options = SessionOptions(voicemail_message="Please call Anna back.")
    call = place_call(callee, hears=[GREETING], options=options)
    assert call.said[-1] == ("agent", "Please call Anna back.")
    assert call.result.turns[-1].start_ms - call.result.turns[0].end_ms == pytest.approx(3050, abs=60)


def test_a_beep_alone_is_a_machine(place_call: Callable[..., Any], beep_pcm: bytes) -> None:
    async def callee(call: Any) -> None:
        await call.wait(2)
        call.leg.say(beep_pcm)

    assert ending(place_call(callee, first=(Say("word " * 30),)))[0] == "voicemail"


@pytest.mark.parametrize("pause", [0.0, 0.2, 0.45, 0.8], ids=lambda pause: f"{pause} s after the last word")
def test_what_the_callee_says_before_it_hangs_up_is_in_the_transcript(
    place_call: Callable[..., Any], pause: float
) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        call.recognizer.seconds = 1.0
        await call.hum(600)
        await call.wait(pause)
        call.leg.end()

    call = place_call(callee, hears=["Never call me again.", "Never call me again."])
    assert ending(call) == ("completed", "callee_hung_up", "none")
    assert call.said == [("agent", "Hello this is Anna."), ("user", "Never call me again.")]
    said = call.result.turns[-1]
    assert said.end_ms - said.start_ms == pytest.approx(600, abs=40)
    assert call.over_ms - said.end_ms <= (pause + 1.1) * 1000


def test_what_is_said_over_the_goodbye_of_the_agent_is_in_the_transcript(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.hum(1_400)

    call = place_call(callee, first=GOODBYE, hears=["Same to you."])
    assert ending(call) == ("completed", "agent_hung_up", "none")
    assert ("user", "Same to you.") in call.said


def test_a_recogniser_that_hangs_holds_the_end_of_a_call_for_two_seconds(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        call.recognizer.seconds = 3600.0
        await call.hum(600)
        call.ended_ms = call.session.now_ms()
        call.leg.end()

    call = place_call(callee, hears=["Never."])
    assert call.said == [("agent", "Hello this is Anna.")]
    assert call.over_ms - call.ended_ms == pytest.approx(2_000, abs=100)


def test_a_recogniser_that_fails_at_the_end_changes_nothing(place_call: Callable[..., Any]) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(600)
        call.leg.end()

    call = place_call(callee, hears=[EngineError("stt", "gone")])
    assert ending(call) == ("completed", "callee_hung_up", "none")
    assert call.said == [("agent", "Hello this is Anna.")]


def test_a_session_that_is_cancelled_waits_for_no_last_words(place_call: Callable[..., Any]) -> None:
    took_ms = []

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        call.recognizer.seconds = 1.0
        await call.hum(600)
        began_ms = call.session.now_ms()
        call.running.add_done_callback(lambda _running: took_ms.append(call.session.now_ms() - began_ms))
        call.running.cancel()
        await call.wait(60)

    with pytest.raises(asyncio.CancelledError):
        place_call(callee, hears=["Never."])
    assert took_ms == [pytest.approx(0, abs=20)]
