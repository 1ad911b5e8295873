"""The leg of the simulated carrier: media, marks, and an end that comes exactly once."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from call_service.carriers import g711
from call_service.carriers.port import (
    FRAME_BYTES,
    SILENCE_FRAME,
    Answered,
    Cause,
    DtmfReceived,
    Ended,
    LegEvent,
    Ringing,
)
from call_service.carriers.simulated import SimulatedCarrier
from call_service.carriers.testing import CallProbe, TwinSpeech, VirtualTime
from call_service.carriers.ticker import Ticker
from call_service.voice.ports import EngineError

Dial = Callable[..., Awaitable[CallProbe]]

TALKS, SILENT, VOICEMAIL = "+12025550100", "+12025550105", "+12025550104"
RAMP = b"".join((n * 7 % 30_000 - 15_000).to_bytes(2, "little", signed=True) for n in range(1_600))


async def test_nothing_is_heard_or_played_before_the_answer(dial: Dial, time: VirtualTime) -> None:
    call = await dial(TALKS)
    call.leg.play(RAMP)
    await time.advance(1_500)
    assert call.events == [Ringing(), Answered()]
    assert (call.received, call.played, call.leg.queued_ms) == (b"", b"", 200)


async def test_one_frame_each_way_every_20_ms(dial: Dial, time: VirtualTime) -> None:
    call = await dial(SILENT)
    await call.answered()
    call.leg.play(RAMP[:-10])
    await time.advance(300)
    assert len(call.received) == len(call.played) == 15 * FRAME_BYTES
    assert bytes(call.played) == RAMP[:-10].ljust(15 * FRAME_BYTES, b"\0")


async def test_both_ears_hear_g711(dial: Dial, time: VirtualTime) -> None:
    call = await dial(VOICEMAIL)
    await call.answered()
    await call.until(lambda: bool(call.leg.recorded))
    call.leg.play(RAMP)
    await time.advance(200)
    assert g711.over_the_wire(RAMP) in call.leg.recorded
    assert RAMP not in call.leg.recorded
    spoken = bytes(call.received)
    assert spoken == g711.over_the_wire(spoken)
    assert g711.rms(spoken) > 0


async def test_a_mark_fires_when_the_last_frame_before_it_was_played(dial: Dial, time: VirtualTime) -> None:
    call, played = await dial(SILENT), list[int]()
    await call.answered()
    call.leg.play(RAMP)
    call.leg.mark(lambda: played.append(len(call.played)))
    call.leg.play(RAMP)
    await time.advance(180)
    assert played == []
    await time.advance(20)
    assert played == [len(RAMP)]


async def test_a_mark_on_an_empty_queue_fires_within_a_frame(dial: Dial, time: VirtualTime) -> None:
    call, played = await dial(SILENT), list[bool]()
    await call.answered()
    call.leg.mark(lambda: played.append(True))
    await time.advance(20)
    assert played == [True]


async def test_clear_stops_the_audio_at_once_and_says_what_was_lost(dial: Dial, time: VirtualTime) -> None:
    call, marks = await dial(SILENT), list[bool]()
    await call.answered()
    call.leg.play(RAMP)
    call.leg.mark(lambda: marks.append(True))
    await time.advance(60)
    assert call.leg.clear() == 140
    assert marks == [True]
    await time.advance(20)
    assert call.played.endswith(SILENCE_FRAME)


async def test_a_late_listener_hears_everything_once(dial: Dial, time: VirtualTime) -> None:
    call, late = await dial(TALKS), list[LegEvent]()
    await call.answered()
    call.leg.on_event(late.append)
    await call.leg.hang_up()
    assert late == call.events == [Ringing(), Answered(), Ended(Cause.LOCAL_HANG_UP)]
    after = list[LegEvent]()
    call.leg.on_event(after.append)
    assert after == late


async def test_hanging_up_before_the_answer_cancels(dial: Dial, time: VirtualTime) -> None:
    call = await dial(TALKS)
    await time.advance(400)
    await call.leg.hang_up()
    await time.advance(5_000)
    assert call.events == [Ringing(), Ended(Cause.LOCAL_HANG_UP, 487)]


async def test_the_agent_may_hang_up_at_any_moment(
    dial: Dial, time: VirtualTime, ticker: Ticker, speech: TwinSpeech
) -> None:
    sentence = await speech.synthesize("How can I help you?", "agent")
    for moment in range(0, 6_000, 150):
        call = await dial("+12025550100")
        call.leg.play(sentence)
        await time.advance(moment)
        await call.leg.hang_up()
        frames = len(call.received)
        await time.advance(100)
        story = [event for event in call.events if not isinstance(event, Ended)]
        assert story == [Ringing(), Answered()][: (moment >= 300) + (moment >= 1_500)]
        assert call.events[len(story) :] == [Ended(Cause.LOCAL_HANG_UP, None if moment >= 1_500 else 487)]
        assert (len(call.received), ticker.members, time.pending) == (frames, 0, 0)


async def test_everything_is_harmless_after_the_end(dial: Dial, time: VirtualTime, ticker: Ticker) -> None:
    call, marks = await dial(TALKS), list[bool]()
    await call.answered()
    await call.leg.hang_up()
    call.leg.play(RAMP)
    call.leg.mark(lambda: marks.append(True))
    await call.leg.send_dtmf("1")
    await call.leg.hang_up()
    assert (call.leg.queued_ms, call.leg.clear(), call.leg.pressed, marks) == (0, 0, "", [True])
    await time.advance(1_000)
    assert call.events[-1:] == [Ended(Cause.LOCAL_HANG_UP)]
    assert (call.received, ticker.members, time.pending) == (b"", 0, 0)


async def test_pending_marks_fire_at_the_end(dial: Dial) -> None:
    call, marks = await dial(TALKS), list[int]()
    await call.answered()
    call.leg.play(RAMP)
    call.leg.mark(lambda: marks.append(len(call.events)))
    await call.leg.hang_up()
    assert marks == [2]


async def test_queued_audio_is_bounded(dial: Dial) -> None:
    call = await dial(TALKS)
    call.leg.play(bytes(16_000 * 200))
    assert call.leg.queued_ms == 120_000


async def test_keys_are_checked_and_reach_the_callee(dial: Dial) -> None:
    call = await dial(TALKS)
    await call.answered()
    await call.leg.send_dtmf("1#")
    with pytest.raises(ValueError, match="keys"):
        await call.leg.send_dtmf("x")
    assert call.leg.pressed == "1#"


async def test_a_listener_that_raises_ends_only_its_own_call(dial: Dial, time: VirtualTime) -> None:
    bad, good = await dial(TALKS, call_id="bad"), await dial(TALKS, call_id="good")

    def raise_(_: bytes) -> None:
        raise RuntimeError("a bug in a session")

    bad.leg.on_audio(raise_)
    await good.answered()
    await time.advance(1_000)
    assert bad.events[-1] == Ended(Cause.MEDIA_LOST)
    assert good.events == [Ringing(), Answered()]
    assert await good.heard() == "Hello?"


async def test_a_failing_synthesizer_ends_the_call(dial: Dial, carrier: SimulatedCarrier, time: VirtualTime) -> None:
    class Broken:
        async def synthesize(self, text: str, voice_id: str) -> bytes:
            raise EngineError("tts", "out of order")

    carrier._speaker._synthesizer = Broken()
    call = await dial(TALKS)
    await time.advance(2_000)
    assert call.events == [Ended(Cause.MEDIA_LOST)]


async def test_a_failing_recognizer_makes_the_callee_ask_again(
    dial: Dial, carrier: SimulatedCarrier, time: VirtualTime
) -> None:
    class Broken:
        async def recognize(self, pcm: bytes) -> str:
            raise EngineError("stt", "queue full")

    carrier._recognizer = Broken()
    call = await dial(TALKS)
    await call.answered()
    await time.advance(1_000)
    assert await call.ask("How can I help you?") == "Sorry, could you say that again?"


async def test_the_agent_may_hang_up_while_the_callee_understands(
    dial: Dial, carrier: SimulatedCarrier, time: VirtualTime, ticker: Ticker
) -> None:
    asked, never, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Slow:
        async def recognize(self, pcm: bytes) -> str:
            asked.set()
            try:
                await never.wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise
            return ""

    carrier._recognizer = Slow()
    call = await dial(TALKS)
    await call.answered()
    await time.advance(1_000)
    await call.say("How can I help you?")
    await call.until(asked.is_set)
    await call.leg.hang_up()
    await time.advance(5_000)
    assert call.events[-1] == Ended(Cause.LOCAL_HANG_UP)
    assert ticker.members == 0
    assert cancelled.is_set()


async def test_calls_are_known_by_their_id(dial: Dial, carrier: SimulatedCarrier) -> None:
    await dial(TALKS, call_id="one")
    assert await carrier.find("one") is True
    assert await carrier.find("two") is None


async def test_close_ends_every_leg(dial: Dial, carrier: SimulatedCarrier, time: VirtualTime, ticker: Ticker) -> None:
    calls = [await dial(TALKS, call_id=str(n)) for n in range(3)]
    await calls[0].answered()
    await carrier.close()
    assert all(call.events[-1] == Ended(Cause.LOCAL_HANG_UP) for call in calls)
    await time.advance(20)
    assert (ticker.members, time.pending) == (0, 0)


NUMBERS = st.sampled_from([f"+12025550{n}" for n in range(100, 114)])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("advance"), st.integers(1, 4_000)),
        st.tuples(st.just("play"), st.integers(0, 30_000)),
        st.tuples(st.just("say"), st.integers(0, 5)),
        st.tuples(st.sampled_from(["clear", "mark", "dtmf", "hang_up", "close"]), st.just(0)),
    ),
    max_size=25,
)
SENTENCES = ["How can I help you?", "Your name?", "Which day?", "Is that right?", "Anything else?", "Goodbye."]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=NUMBERS, operations=OPERATIONS)
async def test_whatever_is_done_the_story_stays_consistent(
    make_carrier: Callable[[], tuple[SimulatedCarrier, VirtualTime, TwinSpeech]],
    place: Callable[..., Awaitable[CallProbe]],
    number: str,
    operations: list[tuple[str, int]],
) -> None:
    """Events in order, `Ended` exactly once and last, every mark exactly once, equal audio both ways."""
    carrier, time, speech = make_carrier()
    call = await place(carrier, time, speech, number)
    marks, fired = 0, list[int]()
    for operation, amount in operations:
        if operation == "advance":
            await time.advance(amount)
        elif operation == "play":
            call.leg.play(bytes(amount * 2))
        elif operation == "say":
            call.leg.play(await speech.synthesize(SENTENCES[amount], "agent"))
        elif operation == "mark":
            call.leg.mark(lambda number=marks: fired.append(number))
            marks += 1
        elif operation == "clear":
            call.leg.clear()
            assert call.leg.queued_ms == 0
        elif operation == "dtmf":
            await call.leg.send_dtmf("1")
        elif operation == "hang_up":
            await call.leg.hang_up()
        else:
            await carrier.close()
    await call.leg.hang_up()
    heard = len(call.received)
    await time.advance(1_000)
    assert fired == list(range(marks))
    assert len(call.received) == len(call.played) == heard
    assert heard % FRAME_BYTES == 0
    assert time.pending == 0
    assert_in_order(call.events, answered=bool(heard))


def assert_in_order(events: list[LegEvent], *, answered: bool) -> None:
    kinds = [type(event) for event in events]
    assert kinds.count(Ended) == 1
    assert kinds[-1] is Ended
    before = [kind for kind in kinds[:-1] if kind is not DtmfReceived]
    assert before in ([], [Ringing], [Ringing, Answered])
    assert Answered in kinds or not answered
    if DtmfReceived in kinds:
        assert kinds.index(DtmfReceived) > kinds.index(Answered)
