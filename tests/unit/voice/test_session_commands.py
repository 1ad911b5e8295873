"""What the API may ask of a conversation: say, pause, resume, join; and callees that are not people."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from call_service.carriers.port import Cause, MachineDetected
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.options import DetectionPolicy, SessionOptions
from call_service.voice.ports import EndCall, Say

GREETED = (Say("Hello this is Anna."),)
SCREENER = "Please state your name and the reason for your call."
INTRODUCTION = "This is Maya. I call about your order."
MENU = "For sales, press one."
GREETING = "Hi, this is Anna. Please leave a message after the tone."

Place = Callable[..., Any]


def answering(**policy: Any) -> SessionOptions:
    return SessionOptions(detection=DetectionPolicy(introduction=INTRODUCTION, **policy))


def ending(call: Any) -> tuple[str, str]:
    return call.result.status, call.result.reason


def test_an_announcement_comes_between_turns_and_tells_that_it_was_heard(place_call: Place) -> None:
    heard = list[bool]()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        heard.append(await call.session.announce("Your table is ready. Please come."))
        call.leg.end()

    call = place_call(callee, first=GREETED)
    assert heard == [True]
    assert call.said == [("agent", "Hello this is Anna."), ("agent", "Your table is ready. Please come.")]


def test_an_announcement_that_is_cut_off_was_not_heard(place_call: Place) -> None:
    heard = list[bool]()

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        telling = asyncio.create_task(call.session.announce("word " * 30))
        await call.wait(2)
        call.session.interrupt()
        heard.append(await telling)
        call.session.request_end("caller_api_ended")
        heard.append(await call.session.announce("Too late."))

    call = place_call(callee, first=GREETED)
    assert heard == [False, False]
    assert ending(call) == ("completed", "caller_api_ended")


def test_while_paused_nothing_is_said_or_heard(place_call: Place) -> None:
    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        await call.wait(2)
        assert call.session.pause()
        await call.wait(0.1)
        said = len(call.played.rstrip(b"\0"))
        await call.hum(2_000)
        await call.wait(20)  # longer than the silence time-out
        assert len(call.played.rstrip(b"\0")) == said
        call.session.resume()
        await call.hum(1_000)
        await call.until_agent_spoke(2)
        call.leg.end()

    call = place_call(callee, first=(Say("word " * 30),), replies=[(Say("Yes."),)], hears=["Are you back?"])
    assert [text for role, text in call.said if role == "user"] == ["Are you back?"]
    assert call.said[-1] == ("agent", "Yes.")


def test_a_call_that_is_ending_is_not_paused(place_call: Place) -> None:
    answers = list[bool]()

    async def callee(call: Any) -> None:
        await call.until(lambda: "agent" in call.notes.starts)
        answers.append(call.session.pause())

    assert ending(place_call(callee, first=(Say("Goodbye."), EndCall()))) == ("completed", "agent_hung_up")
    assert answers == [False]


def test_a_paused_call_ends_when_its_time_is_up(place_call: Place) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        call.session.pause()

    assert ending(place_call(callee, first=GREETED)) == ("completed", "max_duration")


@pytest.mark.parametrize("who_leaves", ["callee", "other"])
def test_who_is_joined_hears_the_callee_until_one_of_them_leaves(place_call: Place, who_leaves: str) -> None:
    heard = [bytearray(), bytearray()]

    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        other = MemoryLeg()
        other.on_played_frame(heard[0].extend)
        call.session.pause()
        call.session.join(other)
        ticking = asyncio.create_task(_tick(other))
        before = len(call.played)
        call.leg.say(b"\x01\x10" * 8_000)
        other.say(b"\x02\x20" * 8_000)
        await call.wait(1.5)
        heard[1] += call.played[before:]
        ticking.cancel()
        if who_leaves == "callee":
            call.leg.end(Cause.CALLEE_HUNG_UP)
        else:
            call.session.leave()

    call = place_call(callee, first=GREETED)
    assert ending(call) == ("completed", "transferred")
    assert bytes(heard[0]).count(b"\x01\x10") >= 7_500
    assert bytes(heard[1]).count(b"\x02\x20") >= 7_500


async def _tick(leg: MemoryLeg) -> None:
    while True:
        await asyncio.sleep(0.02)
        leg.tick()


def test_a_screening_assistant_is_told_who_calls_and_its_person_is_greeted(place_call: Place) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.2)
        await call.hum(3_000)
        await call.until_agent_spoke(2)
        await call.hum(1_500)  # "Thank you"
        await call.wait(12)  # longer than the silence time-out
        await call.hum(1_200)
        await call.until_agent_spoke(3)
        call.leg.end()

    hears = [SCREENER, "Thank you. Please stay on the line.", "Hello, this is Anna."]
    call = place_call(callee, first=GREETED, hears=hears, options=answering(screening="answer"))
    assert [text for role, text in call.said if role == "agent"] == [
        "Hello this is Anna.",
        INTRODUCTION,
        "Hello this is Anna.",
    ]
    assert [kind for kind, _, _ in call.notes.verdicts if kind != "unknown"][-2:] == ["screening", "human"]


@pytest.mark.parametrize(
    ("policy", "hears", "reason"),
    [
        ({"screening": "hang_up"}, SCREENER, "screening_detected"),
        ({"ivr": "hang_up"}, MENU, "ivr_detected"),
    ],
)
def test_machines_are_hung_up_on_as_the_agent_wants(
    place_call: Place, policy: dict[str, str], hears: str, reason: str
) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.2)
        await call.hum(3_000)

    assert ending(place_call(callee, first=GREETED, hears=[hears], options=answering(**policy))) == (
        "completed",
        reason,
    )


@pytest.mark.parametrize("screening", ["answer", "hang_up", "continue"])
def test_who_answers_for_somebody_else_is_conversed_with(place_call: Place, screening: str) -> None:
    async def callee(call: Any) -> None:
        await call.until_agent_spoke(1)
        await call.hum(3_000)
        await call.until_agent_spoke(2)
        call.leg.end()

    asked = "Office of Doctor Lee, what is the reason for your call?"
    replies = [(Say("It is about an invoice."),)]
    call = place_call(callee, hears=[asked], first=GREETED, replies=replies, options=answering(screening=screening))
    assert "screening" not in [kind for kind, _, _ in call.notes.verdicts]
    assert ending(call) == ("completed", "callee_hung_up")
    assert call.said[1:] == [("user", asked), ("agent", "It is about an invoice.")]


@pytest.mark.parametrize("found_by", ["words", "carrier"])
def test_an_agent_may_go_on_with_a_voicemail(place_call: Place, found_by: str) -> None:
    async def callee(call: Any) -> None:
        await call.wait(0.2)
        if found_by == "carrier":
            call.leg.emit(MachineDetected(beep=False))
        await call.hum(3_000)
        await call.until_agent_spoke(1)
        await call.wait(2)
        call.leg.end()

    call = place_call(callee, first=GREETED, hears=[GREETING], options=answering(ignores_voicemail=True))
    assert ending(call) == ("completed", "callee_hung_up")
    assert "voicemail" in [kind for kind, _, _ in call.notes.verdicts]
