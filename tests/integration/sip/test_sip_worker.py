"""The worker over SIP: a queued call is dialled through a trunk to sipp, and ends as sipp ends it."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestServer

from call_service.carriers.opening import TrunksUnusableError, open_carrier
from call_service.dialer.app import build_app
from call_service.settings import WorkerSettings
from call_service.voice.engines.bundle import load_engines
from shared.db import Database
from shared.migrations import migrate
from shared.testing.waiting import eventually
from tests.support.calls import MIGRATIONS, SECRET
from tests.support.sip_peers import LOOPBACK, Sipp, free_port
from tests.support.workers import events_of, queue, read


def settings(database_url: str, tmp_path: Path, trunks: Any) -> WorkerSettings:
    path = tmp_path / "trunks.json"
    path.write_text(json.dumps(trunks))
    return WorkerSettings(
        database_url=database_url,
        internal_token_secret=SECRET,
        recordings_dir=tmp_path / "recordings",
        engines="null",
        carrier="sip",
        sip_trunks_file=path,
        sip_port=0,
        rtp_first_port=24_000,
        rtp_last_port=24_099,
    )


async def outcome(database_url: str, tmp_path: Path, sipp: Sipp, scenario: str, **keys: str) -> tuple[Any, list[str]]:
    await migrate(database_url, "calls", MIGRATIONS)
    db = await Database.connect(database_url, "calls", max_size=4)
    port = free_port()
    trunk = {"name": "peer", "host": LOOPBACK, "port": port, "pings_every": None}
    try:
        async with sipp.run(scenario, port, **keys), TestServer(build_app(settings(database_url, tmp_path, [trunk]))):
            call_id = await queue(db, "+12025550100")

            async def is_complete() -> bool:
                return (await read(db, call_id)).completed_at is not None

            await eventually(is_complete, 40)
        return await read(db, call_id), await events_of(db, call_id)
    finally:
        await db.close()


async def test_a_call_that_the_callee_ends(database_url: str, tmp_path: Path, sipp: Sipp) -> None:
    call, types = await outcome(database_url, tmp_path, sipp, "uas_hangs_up")
    assert (call.status, call.reason) == ("completed", "callee_hung_up")
    assert types[:4] == ["call.initiated", "call.ringing", "call.answered", "call.ended"]
    assert call.recording


async def test_a_busy_callee_keeps_its_sip_code(database_url: str, tmp_path: Path, sipp: Sipp) -> None:
    call, _ = await outcome(database_url, tmp_path, sipp, "uas_reject", status="486")
    assert (call.status, call.reason, call.sip_code) == ("busy", "callee_busy", 486)


@pytest.mark.parametrize(
    ("trunks", "says"),
    [({}, "trunks.json"), ([{"name": "x"}], "0.host"), ([{"name": "x", "host": "a b"}], "0.host")],
)
async def test_a_wrong_trunk_is_named_at_the_start(tmp_path: Path, trunks: Any, says: str) -> None:
    wrong = settings("postgresql://u:p@127.0.0.1/x", tmp_path, trunks)
    with pytest.raises(TrunksUnusableError, match=says):
        async with open_carrier(wrong, await load_engines("null")):
            pass
