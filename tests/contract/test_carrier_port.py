"""What every carrier promises, whatever network is behind it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

import pytest

from call_service.carriers import g711
from call_service.carriers.port import (
    FRAME_BYTES,
    Answered,
    Carrier,
    Cause,
    DialRequest,
    Ended,
    Leg,
    LegEvent,
    Ringing,
    TransferFailedError,
)
from call_service.carriers.simulated import ScriptBook, SimulatedCarrier
from call_service.carriers.testing import LOUD_FRAME, TwinSpeech, VirtualTime
from call_service.carriers.ticker import Ticker
from call_service.voice.bridge import MAX_QUEUED_MS, bridge
from tests.support.sip_callees import BUSY, NEVER_ANSWERS, TALKS, sip_with_callees

T = TypeVar("T")

LIMIT_MS = 10_000
SECOND = LOUD_FRAME * 50


@dataclass
class Rig:
    """A carrier, numbers that behave as their names say, and a way to let time pass."""

    carrier: Carrier
    talks: str
    busy: str
    never_answers: str
    advance: Callable[[float], Awaitable[None]]

    async def dial(self, number: str, ring_timeout: timedelta = timedelta(seconds=30)) -> tuple[Leg, list[LegEvent]]:
        leg = await self.carrier.place(DialRequest("call-1", number, "+12025559999", ring_timeout, trunk_id="other"))
        events = list[LegEvent]()
        leg.on_event(events.append)
        return leg, events

    async def answered(self) -> tuple[Leg, list[LegEvent]]:
        leg, events = await self.dial(self.talks)
        await self.until(lambda: Answered() in events)
        return leg, events

    async def waiting(self, doing: Coroutine[Any, Any, T]) -> T:
        """Let time pass until `doing` is done."""
        task = asyncio.ensure_future(doing)
        await self.until(task.done)
        return task.result()

    async def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(0, LIMIT_MS, 20):
            if condition():
                return
            await self.advance(20)
        raise AssertionError("the condition did not come true")


@asynccontextmanager
async def _simulated() -> AsyncIterator[Rig]:
    time, speech = VirtualTime(), TwinSpeech()
    carrier = SimulatedCarrier(
        ticker=Ticker(time),
        synthesizer=speech,
        recognizer=speech,
        book=ScriptBook.load(),
        random=Random(1),
        voice_id="callee",
    )
    yield Rig(carrier, "+12025550100", "+12025550101", "+12025550102", time.advance)
    await carrier.close()
    await time.advance(20)
    assert time.pending == 0


@asynccontextmanager
async def _sip() -> AsyncIterator[Rig]:
    async with sip_with_callees() as carrier:
        yield Rig(carrier, TALKS, BUSY, NEVER_ANSWERS, lambda ms: asyncio.sleep(ms / 1000))


@pytest.fixture(params=[_simulated, _sip])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    async with request.param() as rig:
        yield rig


async def test_an_answered_call_rings_first(rig: Rig) -> None:
    _, events = await rig.answered()
    assert events == [Ringing(), Answered()]


async def test_events_that_came_before_the_listener_are_not_lost(rig: Rig) -> None:
    leg, events = await rig.answered()
    late = list[LegEvent]()
    leg.on_event(late.append)
    assert late == events


async def test_a_busy_callee_ends_the_leg_with_486(rig: Rig) -> None:
    _, events = await rig.dial(rig.busy)
    await rig.until(lambda: bool(events))
    assert events[-1] == Ended(Cause.BUSY, 486)
    assert Answered() not in events


async def test_an_unanswered_call_ends_at_its_ring_timeout(rig: Rig) -> None:
    _, events = await rig.dial(rig.never_answers, timedelta(seconds=1))
    await rig.until(lambda: len(events) == 2)
    assert events == [Ringing(), Ended(Cause.NO_ANSWER, 487)]


async def test_a_call_can_be_cancelled_while_it_rings(rig: Rig) -> None:
    leg, events = await rig.dial(rig.never_answers)
    await rig.until(lambda: Ringing() in events)
    await leg.hang_up()
    await rig.until(lambda: len(events) == 2)
    assert events == [Ringing(), Ended(Cause.LOCAL_HANG_UP, 487)]


async def test_audio_arrives_in_frames_also_while_the_callee_is_silent(rig: Rig) -> None:
    leg, _ = await rig.answered()
    frames = list[bytes]()
    leg.on_audio(frames.append)
    await rig.until(lambda: len(frames) >= 100)
    assert {len(frame) for frame in frames} == {FRAME_BYTES}
    assert max(g711.rms(frame) for frame in frames) > 500


async def test_what_is_queued_is_played_frame_by_frame_in_order(rig: Rig) -> None:
    leg, _ = await rig.answered()
    played = bytearray()
    leg.on_played_frame(played.extend)
    leg.play(SECOND[:1_000])
    leg.play(SECOND[1_000:])
    assert leg.queued_ms == 1_000
    await rig.until(lambda: not leg.queued_ms)
    assert g711.over_the_wire(SECOND) in {
        bytes(played[: len(SECOND)]),
        g711.over_the_wire(bytes(played[: len(SECOND)])),
    }


async def test_marks_fire_in_order_once_their_audio_was_played(rig: Rig) -> None:
    leg, _ = await rig.answered()
    left = list[int]()
    for _ in range(2):
        leg.play(SECOND)
        leg.mark(lambda: left.append(leg.queued_ms))
    await rig.until(lambda: len(left) == 2)
    assert left == [1_000, 0]


async def test_clear_drops_what_was_not_played_and_fires_its_marks(rig: Rig) -> None:
    leg, _ = await rig.answered()
    marks = list[bool]()
    leg.play(SECOND)
    leg.mark(lambda: marks.append(True))
    await rig.until(lambda: leg.queued_ms <= 800)
    waiting = leg.queued_ms
    assert leg.clear() == waiting
    assert (leg.queued_ms, marks) == (0, [True])


async def test_hanging_up_ends_the_leg_exactly_once(rig: Rig) -> None:
    leg, events = await rig.answered()
    frames = list[bytes]()
    await leg.hang_up()
    await leg.hang_up()
    await rig.until(lambda: len(events) == 3)
    leg.on_audio(frames.append)
    leg.play(SECOND)
    await leg.send_dtmf("1")
    await rig.advance(200)
    assert events == [Ringing(), Answered(), Ended(Cause.LOCAL_HANG_UP)]
    assert (frames, leg.queued_ms) == ([], 0)


async def test_only_keys_can_be_pressed(rig: Rig) -> None:
    leg, _ = await rig.answered()
    await leg.send_dtmf("0123456789*#ABCD")
    with pytest.raises(ValueError, match="keys"):
        await leg.send_dtmf("1 2")


async def test_on_hold_only_the_callee_is_not_heard(rig: Rig) -> None:
    leg, events = await rig.answered()
    frames = list[bytes]()
    leg.on_audio(frames.append)
    await rig.until(lambda: any(g711.rms(frame) > 500 for frame in frames))
    await rig.waiting(leg.hold(held=True))
    await rig.advance(200)
    frames.clear()
    leg.play(SECOND)
    await rig.until(lambda: not leg.queued_ms)
    assert len(frames) >= 45
    assert max(g711.rms(frame) for frame in frames) == 0
    assert await rig.waiting(leg.hold(held=False))
    frames.clear()
    await rig.until(lambda: any(g711.rms(frame) > 500 for frame in frames))
    assert events == [Ringing(), Answered()]


async def test_who_is_not_in_a_call_can_neither_be_held_nor_transferred(rig: Rig) -> None:
    leg, events = await rig.dial(rig.never_answers)
    await rig.until(lambda: Ringing() in events)
    assert not await leg.hold(held=True)
    with pytest.raises(TransferFailedError):
        await leg.transfer(rig.talks)


async def test_a_transferred_callee_leaves_once_the_target_answered(rig: Rig) -> None:
    leg, events = await rig.answered()
    await rig.waiting(leg.transfer(rig.talks))
    assert events == [Ringing(), Answered(), Ended(Cause.TRANSFERRED)]


async def test_a_callee_whose_transfer_fails_stays(rig: Rig) -> None:
    leg, events = await rig.answered()
    with pytest.raises(TransferFailedError) as failure:
        await rig.waiting(leg.transfer(rig.busy))
    assert failure.value.sip_code == 486
    leg.play(SECOND)
    await rig.until(lambda: not leg.queued_ms)
    assert events == [Ringing(), Answered()]


async def test_two_legs_that_are_bridged_hear_each_other(rig: Rig) -> None:
    leg, _ = await rig.answered()
    other, events = await rig.dial(rig.talks)
    await rig.until(lambda: Answered() in events)
    joined, played = [True], [list[bytes](), list[bytes]()]
    leg.on_audio(bridge(leg, other, lambda: joined[0]))
    leg.on_played_frame(played[0].append)
    other.on_played_frame(played[1].append)
    for frames in played:
        await rig.until(lambda frames=frames: sum(g711.rms(frame) > 500 for frame in frames) >= 10)  # type: ignore[misc] # bound here
    assert max(leg.queued_ms, other.queued_ms) <= MAX_QUEUED_MS
    joined[0] = False
    await rig.until(lambda: not leg.queued_ms)
    played[0].clear()
    await rig.advance(200)
    assert max(g711.rms(frame) for frame in played[0]) == 0


async def test_a_dialled_call_can_be_found(rig: Rig) -> None:
    await rig.dial(rig.talks)
    assert await rig.carrier.find("call-1") is True
    assert await rig.carrier.find("another") is not True


async def test_closing_the_carrier_ends_its_legs(rig: Rig) -> None:
    _, events = await rig.answered()
    await rig.carrier.close()
    await rig.until(lambda: len(events) == 3)
    assert events[-1] == Ended(Cause.LOCAL_HANG_UP)
