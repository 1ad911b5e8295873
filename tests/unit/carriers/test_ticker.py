"""The shared 20 ms clock."""

import pytest

from call_service.carriers.testing import VirtualTime
from call_service.carriers.ticker import Ticker


class Member:
    def __init__(self, clock: VirtualTime, *, fails_at: int | None = None) -> None:
        self.clock = clock
        self.at_ms: list[int] = []
        self.fails_at = fails_at
        self.failed = 0

    def tick(self) -> None:
        self.at_ms.append(round(self.clock.time() * 1000))
        if len(self.at_ms) == self.fails_at:
            raise RuntimeError("a listener raised")

    def fail(self) -> None:
        self.failed += 1


async def test_ticks_every_20_ms_from_the_first_period_on(time: VirtualTime, ticker: Ticker) -> None:
    member = Member(time)
    ticker.add(member)
    await time.advance(100)
    assert member.at_ms == [20, 40, 60, 80, 100]


async def test_does_not_drift_over_an_hour(time: VirtualTime, ticker: Ticker) -> None:
    member = Member(time)
    ticker.add(member)
    for _ in range(600):
        time.stall(7)  # every wake-up is late, by less than a period
        await time.advance(93)
    assert len(member.at_ms) == pytest.approx(600 * 5, abs=1)
    assert ticker.skipped_ticks == 0


async def test_catches_up_after_a_short_stall(time: VirtualTime, ticker: Ticker) -> None:
    member = Member(time)
    ticker.add(member)
    time.stall(85)
    await time.advance(0)
    assert len(member.at_ms) == 4
    assert (ticker.late_ticks, ticker.skipped_ticks) == (3, 0)
    await time.advance(16)
    assert len(member.at_ms) == 5


async def test_gives_up_what_is_beyond_the_burst(time: VirtualTime, ticker: Ticker) -> None:
    member = Member(time)
    ticker.add(member)
    time.stall(2_010)
    await time.advance(0)
    assert len(member.at_ms) == 5
    assert (ticker.late_ticks, ticker.skipped_ticks) == (99, 95)
    await time.advance(10)
    assert member.at_ms[5:] == [2020]


async def test_has_no_timer_without_members(time: VirtualTime, ticker: Ticker) -> None:
    member = Member(time)
    assert time.pending == 0
    ticker.add(member)
    assert time.pending == 1
    ticker.remove(member)
    await time.advance(20)
    assert (time.pending, member.at_ms) == (0, [])


async def test_starts_again_with_a_fresh_schedule(time: VirtualTime, ticker: Ticker) -> None:
    first, second = Member(time), Member(time)
    ticker.add(first)
    ticker.remove(first)
    await time.advance(5_000)
    ticker.add(second)
    await time.advance(20)
    assert second.at_ms == [5020]
    assert (time.pending, ticker.late_ticks) == (1, 0)


async def test_a_member_added_before_the_stopped_clock_noticed_is_ticked_once(
    time: VirtualTime, ticker: Ticker
) -> None:
    first, second = Member(time), Member(time)
    ticker.add(first)
    ticker.remove(first)
    ticker.add(second)
    await time.advance(40)
    assert second.at_ms == [20, 40]


async def test_a_member_that_raises_fails_alone(time: VirtualTime, ticker: Ticker) -> None:
    bad, good = Member(time, fails_at=2), Member(time)
    ticker.add(bad)
    ticker.add(good)
    await time.advance(80)
    assert (len(bad.at_ms), bad.failed) == (2, 1)
    assert len(good.at_ms) == 4
    assert ticker.members == 1


async def test_a_member_removed_by_another_is_not_ticked_any_more(time: VirtualTime, ticker: Ticker) -> None:
    victim = Member(time)

    class Remover(Member):
        def tick(self) -> None:
            ticker.remove(victim)

    ticker.add(Remover(time))
    ticker.add(victim)
    await time.advance(40)
    assert victim.at_ms == []


async def test_a_member_that_cannot_even_end_does_not_stop_the_clock(time: VirtualTime, ticker: Ticker) -> None:
    class Hopeless(Member):
        def fail(self) -> None:
            raise RuntimeError("nor can it end")

    good = Member(time)
    ticker.add(Hopeless(time, fails_at=1))
    ticker.add(good)
    await time.advance(80)
    assert len(good.at_ms) == 4
    assert ticker.members == 1
