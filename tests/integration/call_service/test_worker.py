"""A worker on a real database: claims, leases, fences, and calls through the simulated carrier with null engines."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY

from call_service.calls import repository
from call_service.calls.domain import MAX_CLAIMS, Call, Status
from call_service.dialer.app import build_app
from call_service.dialer.worker import Worker
from call_service.settings import WorkerSettings
from shared.db import Database
from shared.health import HEALTH
from shared.testing.waiting import eventually
from tests.support import fake_chat_endpoint as chat
from tests.support.calls import SECRET, claim
from tests.support.workers import LEASE, events_of, queue, read, sweeper


async def completed(db: Database, call_id: str, limit_seconds: float = 30) -> Call:
    async def is_complete() -> bool:
        return (await read(db, call_id)).completed_at is not None

    await eventually(is_complete, limit_seconds)
    return await read(db, call_id)


@asynccontextmanager
async def worker(database_url: str, tmp_path: Path, **changes: Any) -> AsyncIterator[web.Application]:
    settings = WorkerSettings(
        database_url=database_url,
        internal_token_secret=SECRET,
        encryption_key=SECRET,
        recordings_dir=tmp_path / "recordings",
        engines="null",
        ring_timeout_seconds=5,
        **changes,
    )
    async with TestServer(build_app(settings)) as server:
        yield server.app


@pytest.mark.parametrize(
    ("callee", "status", "reason", "types"),
    [
        ("0101", "busy", "callee_busy", ["call.initiated"]),
        ("0102", "no-answer", "no_answer", ["call.initiated", "call.ringing"]),
        ("0103", "failed", "declined", ["call.initiated", "call.ringing"]),
        ("0106", "failed", "invalid_number", ["call.initiated"]),
        ("9999", "failed", "carrier_rejected", ["call.initiated"]),
    ],
)
async def test_a_call_that_nobody_answers_says_why(
    db: Database, calls_url: str, tmp_path: Path, callee: str, status: str, reason: str, types: list[str]
) -> None:
    async with worker(calls_url, tmp_path):
        call_id = await queue(db, f"+1202555{callee}")
        call = await completed(db, call_id)
    assert (call.status, call.reason) == (status, reason)
    assert await events_of(db, call_id) == [*types, "call.ended", "call.completed"]
    assert call.analysis is None


async def test_silence_is_asked_and_then_given_up(db: Database, calls_url: str, tmp_path: Path) -> None:
    async with worker(calls_url, tmp_path):
        call = await completed(db, await queue(db, "+12025550105", silenceTimeoutSeconds=1), 60)
    assert (call.status, call.reason, call.fault) == ("silence", "silence_timeout", "callee")
    assert call.recording == f"{call.id}.wav"
    assert call.analysis is not None
    assert (await events_of(db, call.id))[-5:] == [
        "call.ended",
        "call.transcript.ready",
        "call.recording.ready",
        "call.analyzed",
        "call.completed",
    ]


async def test_a_full_worker_leaves_the_queue_to_others(db: Database, calls_url: str, tmp_path: Path) -> None:
    async with worker(calls_url, tmp_path, worker_max_calls=2):
        ids = [await queue(db, "+12025550102") for _ in range(3)]

        async def two_are_held() -> bool:
            return int(await db.fetchval("SELECT count(*) FROM calls WHERE owner IS NOT NULL")) == 2

        await eventually(two_are_held)
        await asyncio.sleep(1.2)  # longer than the poll: the third is not claimed although it is due
        assert await two_are_held()
        for call_id in ids:
            await completed(db, call_id)


async def test_a_worker_measures_how_long_a_call_waits_for_a_place(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    async with worker(calls_url, tmp_path, worker_max_calls=1):
        held = await queue(db, "+12025550105", silenceTimeoutSeconds=60)

        async def is_held() -> bool:
            return (await read(db, held)).status == "in-progress"

        await eventually(is_held, 30)
        late = await queue(db, "+12025550105")
        await db.execute("UPDATE calls SET created_at = now() - interval '90 seconds' WHERE id = $1", late)
        await eventually(lambda: (REGISTRY.get_sample_value("talkstack_worker_longest_wait_seconds") or 0) >= 90, 30)


async def test_two_claimers_never_get_the_same_call(db: Database) -> None:
    made = {await queue(db, "+12025550100") for _ in range(30)}
    claims = await asyncio.gather(*(claim(db, f"w{index}", LEASE, 7) for index in range(6)))
    claimed = [call.id for batch in claims for call in batch]
    assert len(claimed) == len(set(claimed))
    assert set(claimed) <= made


async def test_an_old_fence_writes_nothing(db: Database) -> None:
    call_id = await queue(db, "+12025550100")
    [call] = await claim(db, "first", LEASE, 1)
    async with db.transaction() as tx:
        await repository.take_over(tx, call_id, "second", LEASE)
        assert await repository.advance(tx, call_id, call.fence, Status.INITIATED) is None
    assert await repository.renew(db, "first", LEASE, {call_id: call.fence}) == set()


@pytest.mark.parametrize(
    ("reached", "status", "reason"),
    [
        ([Status.INITIATED], "failed", "outcome_unknown"),
        ([Status.INITIATED, Status.RINGING], "failed", "worker_lost"),
        ([Status.INITIATED, Status.RINGING, Status.IN_PROGRESS], "failed", "worker_lost"),
    ],
)
async def test_the_sweeper_ends_what_a_lost_worker_left(
    db: Database, tmp_path: Path, reached: list[Status], status: str, reason: str
) -> None:
    call_id = await queue(db, "+12025550100")
    [call] = await claim(db, "lost", timedelta(seconds=-1), 1)
    async with db.transaction() as tx:
        for state in reached:
            assert await repository.advance(tx, call_id, call.fence, state)
    swept = await asyncio.gather(sweeper(db, tmp_path).sweep_once(), sweeper(db, tmp_path).sweep_once())
    assert sum(swept) == 1
    ended = await completed(db, call_id)
    assert (ended.status, ended.reason) == (status, reason)
    assert [type_ for type_ in await events_of(db, call_id) if type_ == "call.ended"] == ["call.ended"]
    async with db.transaction() as tx:
        assert await repository.advance(tx, call_id, call.fence, Status.IN_PROGRESS) is None


async def test_a_claimed_call_that_was_never_dialled_goes_back_to_the_queue(db: Database, tmp_path: Path) -> None:
    call_id = await queue(db, "+12025550100")
    await claim(db, "lost", timedelta(seconds=-1), 1)
    assert await sweeper(db, tmp_path).sweep_once() == 1
    assert (await read(db, call_id)).status is Status.QUEUED
    [again] = await claim(db, "next", LEASE, 1)
    assert again.id == call_id


async def test_a_call_that_breaks_every_worker_before_it_is_dialled_is_given_up(db: Database, tmp_path: Path) -> None:
    """It went back to the queue after each lease, for ever."""
    call_id = await queue(db, "+12025550100")
    for _ in range(MAX_CLAIMS):
        assert (await read(db, call_id)).status is Status.QUEUED
        assert [call.id for call in await claim(db, "breaks", timedelta(seconds=-1), 1)] == [call_id]
        await asyncio.gather(*(sweeper(db, tmp_path).sweep_once() for _ in range(2)))
    ended = await read(db, call_id)
    assert (ended.status, ended.reason, ended.fault) == ("failed", "worker_failed", "platform")
    assert ended.completed_at is not None
    assert await events_of(db, call_id) == ["call.ended", "call.completed"]
    assert await claim(db, "next", LEASE, 1) == []
    assert await sweeper(db, tmp_path).sweep_once() == 0


async def test_a_worker_whose_loops_crash_starts_them_again_and_is_not_ready_meanwhile(
    calls_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ended for good while the process said that it was well."""
    runs: list[float] = []

    async def run(_worker: Worker, heartbeat_seconds: float) -> None:
        runs.append(heartbeat_seconds)
        if len(runs) == 1:
            raise RuntimeError("a bug")
        await asyncio.Event().wait()

    monkeypatch.setattr(Worker, "run", run)
    async with worker(calls_url, tmp_path, heartbeat_seconds=7) as app:
        assert (await app[HEALTH].check())["worker"] == "UnavailableError"
        await eventually(lambda: runs == [7, 7])


async def test_a_call_whose_lease_is_alive_is_left_alone(db: Database, tmp_path: Path) -> None:
    await queue(db, "+12025550100")
    await claim(db, "alive", LEASE, 1)
    assert await sweeper(db, tmp_path).sweep_once() == 0


async def test_a_lease_is_kept_while_its_row_is_locked_and_holds_up_no_other(db: Database) -> None:
    """The renewal waited for the row, and the worker lost all of its calls."""
    for _ in range(3):
        await queue(db)
    locked, free, taken = await claim(db, "w", LEASE, 3)
    await db.execute("UPDATE calls SET lease_until = now(), fence = fence + (id = $1)::integer", taken.id)
    async with db.transaction() as tx:
        await repository.lock_held(tx, locked.id, locked.fence)
        held = {call.id: call.fence for call in (locked, free, taken)}
        async with asyncio.timeout(5):
            assert await repository.renew(db, "w", LEASE, held) == {locked.id, free.id}
    renewed = await db.fetch("SELECT id FROM calls WHERE lease_until > now() + interval '20 s'")
    assert [str(row["id"]) for row in renewed] == [free.id]


async def test_a_worker_that_lost_its_lease_hangs_up_and_keeps_silent(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    async with worker(calls_url, tmp_path, heartbeat_seconds=0.2):
        call_id = await queue(db, "+12025550105", silenceTimeoutSeconds=30)

        async def talks() -> bool:
            return (await read(db, call_id)).status is Status.IN_PROGRESS

        async def is_lost() -> bool:
            """Its worker may renew the lease before the sweeper comes."""
            await db.execute("UPDATE calls SET lease_until = now() - interval '1 second' WHERE id = $1", call_id)
            await sweeper(db, tmp_path / "recordings").sweep_once()
            return (await read(db, call_id)).reason == "worker_lost"

        await eventually(talks)
        await eventually(is_lost)
        await asyncio.sleep(1)  # several heartbeats: time to write something wrong
    call = await read(db, call_id)
    assert (call.status, call.reason) == ("failed", "worker_lost")
    assert (await events_of(db, call_id)).count("call.ended") == 1


async def test_with_a_chat_endpoint_the_language_model_talks_and_analyses(
    db: Database, calls_url: str, tmp_path: Path
) -> None:
    async def model(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body.get("stream"):
            return await chat.says("Hello from the model. ", "How are you today?")(request, body)
        verdict = {"sentiment": "positive", "summary": "They talked.", "answers": []}
        return await chat.answers(orjson.dumps(verdict).decode())(request, body)

    async with chat.running(model) as endpoint, worker(calls_url, tmp_path, llm_base_url=endpoint.base_url):
        call = await completed(db, await queue(db, "+12025550107", firstMessage=None))
    assert (call.status, call.reason) == ("completed", "callee_hung_up")
    said = [turn.text for turn in await repository.turns(db, call.id) if turn.role == "agent"]
    assert said[0].startswith("Hello from")  # the callee hangs up in mid-sentence
    assert call.analysis is not None
    assert (call.analysis["source"], call.analysis["summary"]) == ("llm", "They talked.")
    assert "Bright Dental" in orjson.dumps(endpoint.bodies[0]["messages"]).decode()
