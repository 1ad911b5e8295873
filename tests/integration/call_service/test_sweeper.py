"""What the sweeper does about calls of lost workers that are unusual: one must keep no other from its end."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from call_service.calls import repository
from call_service.calls.domain import MAX_CLAIMS, Call, CallTurn, Status
from call_service.calls.sweeper import BATCH, COMPLETED_AT_ONCE, Sweeper
from call_service.calls.wrap_up import Analyzer, WrapUp
from call_service.recordings import RecordingStore
from shared import outbox
from shared.db import Database
from shared.testing.waiting import eventually
from tests.support.calls import claim
from tests.support.workers import events_of, queue, read, sweeper

LIVE = (Status.INITIATED, Status.RINGING, Status.IN_PROGRESS)


async def lost(
    db: Database,
    states: Sequence[Status] = LIVE,
    turns: Sequence[CallTurn] = (),
    lease: timedelta = timedelta(seconds=-1),
) -> str:
    """A call whose worker stopped renewing its lease when it was in the last of `states`."""
    call_id = await queue(db)
    [call] = await claim(db, "lost", lease, 1)
    async with db.transaction() as tx:
        for state in states:
            assert await repository.advance(tx, call_id, call.fence, state)
        for position, turn in enumerate(turns):
            await repository.add_turn(tx, call_id, position=position, turn=turn, timings={})
    return call_id


async def test_a_call_that_is_too_large_for_an_event_ends_and_is_reported_without_its_transcript(
    db: Database, tmp_path: Path
) -> None:
    """It broke the sweeper of every process, again and again, and with it all calls of lost workers."""
    said = [CallTurn("user", "x" * 20_000, 1000 * start, 1000 * start + 1, False) for start in range(60)]
    assert sum(len(turn.text) for turn in said) > outbox.MAX_DATA_BYTES
    call_id = await lost(db, turns=said)
    assert await sweeper(db, tmp_path).sweep_once() == 1
    ended = await read(db, call_id)
    assert (ended.status, ended.reason) == ("failed", "worker_lost")
    assert (await events_of(db, call_id))[-4:] == [
        "call.ended",
        "call.transcript.ready",
        "call.analyzed",
        "call.completed",
    ]
    [data] = [event.data for event in await outbox.events_after(db, call_id, 0, 100) if event.type == "call.ended"]
    assert (data["transcript"], data["status"]) == ([], "failed")
    assert await repository.turns(db, call_id) == said


async def test_a_call_that_cannot_be_ended_keeps_no_other_from_its_end(db: Database, tmp_path: Path) -> None:
    broken = await lost(db)
    await db.execute("UPDATE calls SET costs = '[{}]'::jsonb WHERE id = $1", broken)  # no event can be made of it
    sound = await lost(db)
    sweeping = sweeper(db, tmp_path)
    assert await sweeping.sweep_once() == 2
    assert (await read(db, sound)).completed_at is not None
    left = await read(db, broken)
    assert (left.status, left.completed_at) == (Status.IN_PROGRESS, None)
    assert await sweeping.sweep_once() == 0  # not again and again
    await db.execute("UPDATE calls SET costs = '[]'::jsonb, lease_until = now() WHERE id = $1", broken)
    assert await sweeping.sweep_once() == 1
    assert (await read(db, broken)).completed_at is not None


async def test_a_call_that_cannot_be_completed_keeps_no_other_from_it(db: Database, tmp_path: Path) -> None:
    broken, sound = await lost(db), await lost(db)
    store = RecordingStore(tmp_path)
    store.path_for(broken).mkdir()
    store.path_for(broken).with_suffix(".wav.part").write_bytes(b"RIFF")  # can't get the name of a folder
    assert await sweeper(db, tmp_path).sweep_once() == 2
    assert (await read(db, sound)).completed_at is not None
    left = await read(db, broken)
    assert (left.status, left.completed_at) == (Status.FAILED, None)
    assert (await events_of(db, broken))[-1] == "call.ended"
    for _ in range(2 * MAX_CLAIMS):
        await db.execute("UPDATE calls SET lease_until = now() WHERE id = $1", broken)
        await sweeper(db, tmp_path).sweep_once()
    given_up = await read(db, broken)
    assert (given_up.recording, given_up.analysis) == (None, None)
    assert (await events_of(db, broken))[-2:] == ["call.ended", "call.completed"]


@dataclass(frozen=True)
class Silent(Analyzer):
    """Language models that don't answer. Counts those who wait."""

    llm: None = None
    asked: list[str] = field(default_factory=list)

    async def analyze(self, call: Call, *_: Any) -> dict[str, Any]:
        self.asked.append(call.id)
        await asyncio.Event().wait()
        raise AssertionError


async def test_no_end_of_a_call_waits_for_the_analysis_of_another(db: Database, tmp_path: Path) -> None:
    """Calls beyond the first 50 of lost workers ended only after the analyses of those before them."""

    async def all_have_ended() -> bool:
        return not await db.fetchval("SELECT count(*) FROM calls WHERE ended_at IS NULL")

    silent = Silent()
    wrap_up = WrapUp(db, silent, RecordingStore(tmp_path), "http://talkstack.test")
    sweeping = asyncio.create_task(Sweeper(wrap_up, "sweeper", 0.05).run())
    try:
        for count in (BATCH + 10, 1):  # the second ones are lost while analyses of the first go on
            for _ in range(count):
                await lost(db, lease=timedelta(minutes=1))
            await db.execute("UPDATE calls SET lease_until = now() - interval '1 second' WHERE ended_at IS NULL")
            await eventually(all_have_ended)

        async def are_asked() -> bool:
            return len(silent.asked) == COMPLETED_AT_ONCE

        await eventually(are_asked)
    finally:
        sweeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeping
    assert len(silent.asked) == COMPLETED_AT_ONCE
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("completion of")]
    assert await db.fetchval("SELECT count(*) FROM calls WHERE completed_at IS NOT NULL") == 0
