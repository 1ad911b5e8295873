"""How a call went, turn by turn."""

import re
from pathlib import Path

from call_service.calls.domain import Status
from call_service.calls.events import DegradedCall
from call_service.dialer.journal import Journal
from shared.background import running
from shared.db import Database
from shared.ids import new_id
from shared.testing.waiting import eventually
from tests.support.calls import Customer
from tests.support.workers import Switchboard, queue, read, working


async def test_a_call_is_explained(customer: Customer, stranger: Customer, db: Database, tmp_path: Path) -> None:
    carrier = Switchboard(answers=0)
    async with working(db, carrier, tmp_path):
        call_id = await queue(db, tenant=customer.tenant)
        await eventually(lambda: call_id in carrier.legs)

        async def has_greeted() -> bool:
            _status, answer = await customer.ask("GET", f"/call/{call_id}/timeline")
            return any(turn["role"] == "agent" for turn in answer["turns"])

        await eventually(has_greeted)
        await degrade(db, call_id)
        carrier.legs[call_id].end()

        async def has_ended() -> bool:
            return (await read(db, call_id)).status is Status.COMPLETED

        await eventually(has_ended)
    status, answer = await customer.ask("GET", f"/call/{call_id}/timeline")
    assert (status, answer["status"], answer["call_id"]) == (200, "success", call_id)
    greeting = next(turn for turn in answer["turns"] if turn["role"] == "agent")
    assert greeting["timings"]["characters"] >= len(greeting["text"].replace(" ", "")) > 0
    assert greeting["timings"]["playout_ms"] == greeting["end_ms"] - greeting["start_ms"]
    assert answer["percentiles"]["playout_ms"]["max"] >= greeting["timings"]["playout_ms"]
    switch = next(one for one in answer["happened"] if one["type"] == "call.degraded")
    assert switch["data"] == {
        "call_id": call_id,
        "stage": "llm",
        "engine": "openai",
        "successor": "local",
        "why": "late",
        "at_ms": 810,
    }
    assert re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", switch["time"])
    assert (await stranger.ask("GET", f"/call/{call_id}/timeline"))[0] == 404
    assert (await customer.ask("GET", f"/call/{new_id()}/timeline"))[0] == 404


async def degrade(db: Database, call_id: str) -> None:
    journal = Journal(db, await read(db, call_id), "http://talkstack.test")
    async with running(journal.run(), "journal"):
        journal.happened(
            DegradedCall(call_id=call_id, stage="llm", engine="openai", successor="local", why="late", at_ms=810)
        )
        await journal.flushed()
