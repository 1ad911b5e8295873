"""What the callee behind each number does, in virtual time."""

import math
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from call_service.carriers import g711
from call_service.carriers.port import (
    Answered,
    CarrierRejectedError,
    Cause,
    DtmfReceived,
    Ended,
    LegEvent,
    Ringing,
)
from call_service.carriers.simulated import SimulatedCarrier
from call_service.carriers.testing import CallProbe, VirtualTime

Dial = Callable[..., Awaitable[CallProbe]]

CALLEE_HUNG_UP = Ended(Cause.CALLEE_HUNG_UP)
LAST_WORDS = "No, that is all. Thank you, goodbye."


def number(last: str) -> str:
    return f"+1202555{last}"


@pytest.mark.parametrize(
    ("last", "events", "at_ms"),
    [
        ("0101", [Ended(Cause.BUSY, 486)], [300]),
        ("0102", [Ringing(), Ended(Cause.NO_ANSWER, 487)], [300, 30_300]),
        ("0103", [Ringing(), Ended(Cause.DECLINED, 603)], [300, 1_500]),
        ("0106", [Ended(Cause.INVALID_NUMBER, 404)], [300]),
    ],
)
async def test_nobody_answers(
    dial: Dial, time: VirtualTime, last: str, events: list[LegEvent], at_ms: list[int]
) -> None:
    call = await dial(number(last))
    await time.advance(60_000)
    assert call.events == events
    assert call.at_ms == at_ms
    assert not call.received


async def test_0113_answers_after_20_s(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0113"))
    await time.advance(25_000)
    assert call.events == [Ringing(), Answered()]
    assert call.at_ms == [300, 20_300]
    assert await call.heard() == "Hello?"


async def test_0113_is_not_answered_within_a_shorter_ring_timeout(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0113"), ring_timeout_s=15)
    await time.advance(25_000)
    assert call.events == [Ringing(), Ended(Cause.NO_ANSWER, 487)]


async def test_any_other_number_is_rejected_with_the_numbers_that_exist(dial: Dial) -> None:
    with pytest.raises(CarrierRejectedError, match=r"\+12025550100, .*\+12025550113") as rejected:
        await dial("+498912345678")
    assert rejected.value.reason == "carrier_rejected"


async def test_0100_holds_a_conversation_and_hangs_up_after_its_goodbye(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    assert await call.heard() == "Hello?"
    assert await call.ask("This is Maya of Bright Dental. How can I help you?") == (
        "Hi, I would like to make an appointment, please."
    )
    assert await call.ask("Gladly. May I have your name?") == "My name is Anna Miller."
    assert await call.ask("Thank you, Anna. What day and time would suit you?") == "Thursday at three in the afternoon."
    assert await call.ask("Thursday at three for Anna Miller. Is that right?") == "Yes, that is right."
    assert await call.ask("Is there anything else I can do for you?") == LAST_WORDS
    await call.say("Goodbye, Anna!")
    assert await call.until(lambda: CALLEE_HUNG_UP in call.events) < 2_000


async def test_0100_leaves_even_without_the_agents_goodbye(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    await call.ask("Anything else?")
    assert await call.until(lambda: CALLEE_HUNG_UP in call.events) < 6_000


async def test_0100_lets_the_agent_finish_its_goodbye(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    await call.ask("Anything else?")
    call.leg.play(loud(7_000))
    await time.advance(7_000)
    assert CALLEE_HUNG_UP not in call.events
    assert await call.until(lambda: CALLEE_HUNG_UP in call.events) < 1_500


async def test_0100_hangs_up_without_a_word_when_the_agent_said_goodbye(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    await call.say("All done. Have a nice day, goodbye.")
    assert 2_000 <= await call.until(lambda: CALLEE_HUNG_UP in call.events) <= 2_300
    assert await call.heard() == "Hello?"


async def test_0100_waits_for_the_end_of_what_the_agent_says(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    await call.say("Let me look into the book.")
    await time.advance(400)
    await call.say("What is your name?")
    await time.advance(3_000)
    assert await call.heard() == "Hello? My name is Anna Miller."


async def test_0100_does_not_hear_what_the_agent_says_while_it_speaks_itself(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    await call.say("How can I help you?")
    await time.advance(640)
    call.leg.play(loud(140))
    await time.advance(6_000)
    assert await call.heard() == "Hello? Hi, I would like to make an appointment, please."


async def test_0100_hangs_up_on_an_agent_that_stays_silent(dial: Dial) -> None:
    call = await dial(number("0100"))
    await call.answered()
    assert 29_000 < await call.until(lambda: CALLEE_HUNG_UP in call.events) < 32_000


async def test_0104_is_a_voicemail_that_greets_beeps_and_records(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0104"))
    await call.answered()
    beep_at = await call.until(lambda: is_beep(bytes(call.received[-640:])))
    assert "voicemail of Anna Miller" in await call.heard()
    ended_at = await call.until(lambda: not is_beep(bytes(call.received[-640:])))
    assert 360 <= ended_at <= 440
    await call.say("Please call us back.")
    assert CALLEE_HUNG_UP not in call.events
    await call.until(lambda: CALLEE_HUNG_UP in call.events)
    assert beep_at > 1_000
    assert len(call.leg.recorded) == 20_000 * 16
    assert g711.rms(call.leg.recorded[: 16 * 400]) > 1_000
    assert "call us back" not in await call.heard()


def is_beep(pcm: bytes) -> bool:
    """Whether 40 ms are a pure tone of 1 kHz (eight samples a period)."""
    samples = memoryview(pcm).cast("h")
    energy = sum(sample * sample for sample in samples)
    real = sum(sample * math.cos(n * math.pi / 4) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(n * math.pi / 4) for n, sample in enumerate(samples))
    return energy > 0 and 2 * (real**2 + imaginary**2) / (len(samples) * energy) > 0.95


async def test_0105_answers_and_only_hisses(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0105"))
    await call.answered()
    await time.advance(1_000)
    await call.say("Hello? Is anybody there?")
    await time.advance(120_000)
    assert call.events == [Ringing(), Answered()]
    assert 5 < g711.rms(bytes(call.received)) < 60


async def test_0107_hangs_up_in_mid_sentence(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0107"))
    await call.answered()
    await time.advance(1_000)
    call.leg.play(loud(4_000))
    assert 1_180 <= await call.until(lambda: CALLEE_HUNG_UP in call.events) <= 1_240
    assert call.leg.queued_ms == 0


def loud(ms: int) -> bytes:
    return b"\x00\x10\x00\xf0" * (ms * 4)


async def test_0108_speaks_over_the_agents_second_turn_then_talks(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0108"))
    await call.answered()
    await time.advance(1_000)
    assert "appointment" in await call.ask("How can I help you?")
    call.leg.play(loud(5_000))
    await time.advance(1_500)
    assert g711.rms(bytes(call.received[-320:])) > 1_000
    assert call.leg.queued_ms > 3_000
    call.leg.clear()
    await time.advance(3_000)
    assert await call.ask("May I have your name?") == "My name is Anna Miller."


async def test_0109_pauses_in_mid_sentence(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0109"))
    await call.answered()
    await time.advance(1_000)
    await call.say("How can I help you?")
    await time.advance(600)
    start = len(call.received)
    await time.advance(10_000)
    pauses = gaps(bytes(call.received[start:]))
    assert len(pauses) == 6
    assert all(340 <= pause <= 480 for pause in pauses)


def gaps(pcm: bytes) -> list[int]:
    """Milliseconds of silence between pieces of speech, without those between two sentences."""
    frames = (pcm[at : at + 320] for at in range(0, len(pcm), 320))
    pieces = "".join("|" if g711.rms(frame) > 500 else " " for frame in frames).strip()
    return [20 * len(gap) for gap in pieces.split("|") if len(gap) > 1]


async def test_0110_presses_keys_after_the_agents_first_words(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0110"))
    await call.answered()
    await time.advance(3_000)
    assert not any(isinstance(event, DtmfReceived) for event in call.events)
    await call.say("Please enter your code, then press hash.")
    await time.advance(3_000)
    keys = [
        (event.digit, at) for event, at in zip(call.events, call.at_ms, strict=True) if isinstance(event, DtmfReceived)
    ]
    assert [digit for digit, _ in keys] == list("42#")
    assert [later[1] - earlier[1] for earlier, later in pairwise(keys)] == [200, 200]
    assert await call.ask("Thank you. Anything else?") == LAST_WORDS


async def test_0111_screens_then_connects_a_person(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0111"))
    await call.answered()
    await time.advance(3_000)
    assert "state your name and the reason for your call" in await call.heard()
    assert await call.ask("This is Maya, about your appointment.") == "Thank you. Please stay on the line."
    await time.advance(3_000)
    assert (await call.heard()).endswith("Hello, this is Anna.")
    assert await call.ask("What is your name?") == "My name is Anna Miller."


async def test_0112_talks_through_noise_17_db_below_speech(dial: Dial, time: VirtualTime) -> None:
    call = await dial(number("0112"))
    await call.answered()
    await time.advance(6_000)
    speech, noise = bytes(call.received[16 * 340 : 16 * 640]), bytes(call.received[-16 * 4_000 :])
    assert 20 * math.log10(g711.rms(speech) / g711.rms(noise)) == pytest.approx(17, abs=1.5)
    assert len({noise[at : at + 320] for at in range(0, len(noise), 320)}) == 200


async def test_without_recognition_the_callee_answers_in_a_fixed_order(
    dial: Dial, carrier: SimulatedCarrier, time: VirtualTime
) -> None:
    carrier._recognizer = None
    call = await dial(number("0100"))
    await call.answered()
    await time.advance(1_000)
    answers = [await call.ask(f"Sentence {n}.") for n in range(5)]
    assert answers == [
        "Hi, I would like to make an appointment, please.",
        "My name is Anna Miller.",
        "Thursday at three in the afternoon.",
        "Yes, that is right.",
        LAST_WORDS,
    ]
    await call.until(lambda: CALLEE_HUNG_UP in call.events)
