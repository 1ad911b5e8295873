"""Commands to a live call: said, pressed, held, transferred; each once, in order, with what came of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from call_service.calls import commands, repository
from call_service.calls import service as calls_service
from call_service.calls.domain import Status
from call_service.carriers.port import FRAME_MS, Answered, CarrierRejectedError, DialRequest, KeysNotSentError, Ringing
from call_service.carriers.testing import LOUD_FRAME
from call_service.dialer import control
from call_service.voice.memory_leg import MemoryLeg
from shared.db import Database
from shared.ids import new_id
from shared.testing.waiting import eventually
from tests.support.calls import Customer
from tests.support.workers import Switchboard, events_of, queue, read, working

TARGET, NOBODY = "+12025550177", "+12025550178"
SECOND = LOUD_FRAME * (1000 // FRAME_MS)


class TwoPhones(Switchboard):
    """Reaches everybody but `NOBODY`; the phone of `TARGET` is picked up by the test."""

    async def place(self, request: DialRequest) -> MemoryLeg:
        if request.to == NOBODY:
            raise CarrierRejectedError("invalid_number", 404)
        answers, self._answers = self._answers, None if request.to == TARGET else self._answers
        try:
            return await super().place(request)
        finally:
            self._answers = answers

    def leg_of(self, number: str) -> MemoryLeg:
        return self.legs[self.dialled[self.numbers.index(number)]]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are answered when they are done, however busy this machine is."""
    monkeypatch.setattr(calls_service, "COMMAND_SECONDS", 20.0)


@asynccontextmanager
async def in_call(
    customer: Customer, db: Database, folder: Path, **settings: Any
) -> AsyncIterator[tuple[str, TwoPhones, MemoryLeg]]:
    """A worker with an answered call: its id, the carrier, the callee's leg."""
    carrier = TwoPhones(answers=0)
    async with working(db, carrier, folder):
        call_id = await queue(db, tenant=customer.tenant, **settings)
        await eventually(lambda: call_id in carrier.legs)
        await reach(db, call_id, Status.IN_PROGRESS)
        yield call_id, carrier, carrier.legs[call_id]


async def reach(db: Database, call_id: str, status: Status) -> None:
    async def is_there() -> bool:
        return (await read(db, call_id)).status is status

    await eventually(is_there)


async def ask(customer: Customer, call_id: str, what: str, body: Any = None) -> tuple[int, Any]:
    status, answer = await customer.ask("POST", f"/call/{call_id}/{what}", body)
    return status, answer.get("command", answer)


async def settled(customer: Customer, command: Any) -> tuple[str, str | None]:
    async def current() -> Any:
        path = f"/call/{command['call_id']}/commands/{command['command_id']}"
        return (await customer.ask("GET", path))[1]["command"]

    async def is_settled() -> bool:
        return bool((await current())["state"] != "accepted")

    await eventually(is_settled)
    final = await current()
    return final["state"], final["reason"]


async def test_the_agent_says_what_it_is_told_once(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, _, _leg):
        status, command = await ask(customer, call_id, "say", {"text": "Your table is ready.", "interrupt": True})
        assert (status, command["kind"]) == (202, "say")
        assert await settled(customer, command) == ("done", None)
        for _ in range(3):  # it is told again with every notification
            await db.execute("SELECT pg_notify('calls_control', '')")
        await asyncio.sleep(0.3)
        said = [turn.text for turn in await repository.turns(db, call_id)]
        assert said.count("Your table is ready.") == 1


async def test_commands_are_done_in_their_order(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        results = [await ask(customer, call_id, "dtmf", {"digits": digit, "toneMs": 60}) for digit in "12#"]
        assert [(status, command["state"]) for status, command in results] == [(202, "done")] * 3
        assert leg.sent_dtmf == "12#"


async def test_under_an_idempotency_key_a_command_is_done_at_once_and_once(
    customer: Customer, db: Database, tmp_path: Path
) -> None:
    """It waited inside its own transaction, which hid it from the worker and held the call's row."""
    key = {"Idempotency-Key": "menu choice of order 4711"}
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        path, body = f"/call/{call_id}/dtmf", {"digits": "1", "toneMs": 60}
        first = await customer.ask("POST", path, body, headers=key)
        assert (first[0], first[1]["command"]["state"]) == (202, "done")
        async with customer.open("POST", path, json=body, headers=key) as again:
            assert again.headers["Idempotent-Replayed"] == "true"
            assert (again.status, await again.json()) == first
        assert leg.sent_dtmf == "1"


@pytest.mark.parametrize("reason", ["call_on_hold", "timeout"])
async def test_keys_that_cannot_be_pressed_fail_and_hold_nothing_up(
    customer: Customer, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    async def send_dtmf(_digits: str, _key_ms: int) -> None:
        if reason == "timeout":
            await asyncio.Event().wait()
        raise KeysNotSentError(reason)

    monkeypatch.setattr(control, "PRESS_SECONDS", 0.2)
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        monkeypatch.setattr(leg, "send_dtmf", send_dtmf)
        _, pressed = await ask(customer, call_id, "dtmf", {"digits": "1"})
        assert await settled(customer, pressed) == ("failed", reason)
        _, command = await ask(customer, call_id, "unhold")
        assert (command["state"], leg.is_held) == ("done", False)


async def test_on_hold_the_agent_is_silent_and_deaf(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        _, command = await ask(customer, call_id, "hold")
        assert (command["state"], leg.is_held) == ("done", True)
        _, refused = await ask(customer, call_id, "say", {"text": "Hello?"})
        assert (refused["state"], refused["reason"]) == ("failed", "call_on_hold")
        before = len(await repository.turns(db, call_id))
        leg.say(SECOND)
        await asyncio.sleep(3)  # longer than the silence time-out
        assert len(await repository.turns(db, call_id)) == before
        assert leg.queued_ms == 0
        _, command = await ask(customer, call_id, "unhold")
        assert (command["state"], leg.is_held) == ("done", False)
        _, said = await ask(customer, call_id, "say", {"text": "I am back."})
        assert await settled(customer, said) == ("done", None)
        assert [type_ for type_ in await events_of(db, call_id) if type_ == "call.held"] == ["call.held"] * 2


async def test_a_blind_transfer_ends_the_call_as_transferred(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        _, command = await ask(customer, call_id, "transfer", {"to": TARGET})
        assert await settled(customer, command) == ("done", None)
        assert leg.transferred_to == TARGET
        await reach(db, call_id, Status.COMPLETED)
    assert (await read(db, call_id)).reason == "transferred"
    seen = await events_of(db, call_id)
    assert seen.index("call.transferred") < seen.index("call.ended")


async def test_a_transfer_that_fails_lets_the_agent_go_on(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        leg.refusal = 486
        _, command = await ask(customer, call_id, "transfer", {"to": TARGET})
        assert (command["state"], command["reason"]) == ("failed", "sip_486")
        _, command = await ask(customer, call_id, "transfer", {"to": NOBODY, "mode": "warm", "announcement": "Anna."})
        assert (command["state"], command["reason"]) == ("failed", "invalid_number")
        _, said = await ask(customer, call_id, "say", {"text": "Nobody is there."})
        assert await settled(customer, said) == ("done", None)
        assert (await read(db, call_id)).status is Status.IN_PROGRESS


@pytest.mark.parametrize("who_leaves", ["callee", "target"])
async def test_a_warm_transfer_announces_and_joins(
    customer: Customer, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who_leaves: str
) -> None:
    monkeypatch.setattr(calls_service, "COMMAND_SECONDS", 0.0)
    async with in_call(customer, db, tmp_path) as (call_id, carrier, leg):
        body = {"to": TARGET, "mode": "warm", "announcement": "Anna Miller wants a table."}
        _, command = await ask(customer, call_id, "transfer", body)
        assert command["state"] == "accepted"
        await eventually(lambda: TARGET in carrier.numbers)
        target = carrier.leg_of(TARGET)
        heard = [bytearray(), bytearray()]
        target.on_played_frame(heard[1].extend)
        target.emit(Answered())
        assert await settled(customer, command) == ("done", None)
        announced = len(bytes(heard[1]).strip(b"\0"))
        assert announced > len(SECOND) // 2, "the announcement comes before the callee"
        leg.on_played_frame(heard[0].extend)
        leg.say(SECOND)
        await eventually(lambda: bytes(heard[1]).count(LOUD_FRAME) >= 45)
        target.say(SECOND)
        await eventually(lambda: bytes(heard[0]).count(LOUD_FRAME) >= 45)
        (leg if who_leaves == "callee" else target).end()
        await reach(db, call_id, Status.COMPLETED)
        await eventually(lambda: leg.has_ended and target.has_ended)
    call = await read(db, call_id)
    assert (call.status, call.reason, call.fault) == (Status.COMPLETED, "transferred", "none")
    assert (await events_of(db, call_id)).count("call.transferred") == 1
    assert carrier.dialled.count(call_id) == 1


async def test_a_call_that_ends_while_the_target_rings_hangs_up_the_target(
    customer: Customer, db: Database, tmp_path: Path
) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, carrier, leg):
        body = {"to": TARGET, "mode": "warm", "announcement": "Anna."}
        asking = asyncio.create_task(ask(customer, call_id, "transfer", body))
        await eventually(lambda: TARGET in carrier.numbers)
        leg.end()
        await reach(db, call_id, Status.COMPLETED)
        await eventually(lambda: carrier.leg_of(TARGET).has_ended)
        _, command = await asking
        assert await settled(customer, command) == ("failed", "call_ended")
    assert (await read(db, call_id)).reason == "callee_hung_up"


async def test_a_joined_call_can_be_ended_over_the_api(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path) as (call_id, carrier, _leg):
        body = {"to": TARGET, "mode": "warm", "announcement": "Anna."}
        asking = asyncio.create_task(ask(customer, call_id, "transfer", body))
        await eventually(lambda: TARGET in carrier.numbers)
        carrier.leg_of(TARGET).emit(Ringing())
        carrier.leg_of(TARGET).emit(Answered())
        _, command = await asking
        assert await settled(customer, command) == ("done", None)
        assert (await ask(customer, call_id, "end"))[0] == 202
        await reach(db, call_id, Status.COMPLETED)
        assert carrier.leg_of(TARGET).has_ended
    assert (await read(db, call_id)).reason == "caller_api_ended"


async def test_only_the_agents_transfer_numbers_are_reached(customer: Customer, db: Database, tmp_path: Path) -> None:
    async with in_call(customer, db, tmp_path, transferNumbers=[TARGET]) as (call_id, _, leg):
        for to in (NOBODY, "sip:anybody@example.com"):
            status, answer = await ask(customer, call_id, "transfer", {"to": to})
            assert (status, answer["code"]) == (403, "transfer_not_allowed")
        _, command = await ask(customer, call_id, "transfer", {"to": TARGET})
        assert await settled(customer, command) == ("done", None)
        assert leg.transferred_to == TARGET


async def test_what_waits_is_bounded_and_fails_with_the_call(
    customer: Customer, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls_service, "COMMAND_SECONDS", 0.0)
    async with in_call(customer, db, tmp_path) as (call_id, _, leg):
        long = {"text": "word " * 100}
        asked = [await ask(customer, call_id, "say", long) for _ in range(commands.MAX_OPEN + 1)]
        assert [status for status, _ in asked] == [202] * commands.MAX_OPEN + [409]
        assert asked[-1][1]["code"] == "too_many_commands"
        leg.end()
        await reach(db, call_id, Status.COMPLETED)
        assert await settled(customer, asked[-2][1]) == ("failed", "call_ended")
        status, answer = await ask(customer, call_id, "say", long)
        assert (status, answer["code"]) == (409, "call_ended")


async def test_commands_of_a_lost_worker_fail(customer: Customer, db: Database) -> None:
    call_id = await queue(db, tenant=customer.tenant)
    status, answer = await ask(customer, call_id, "hold")
    assert (status, answer["code"]) == (409, "call_not_in_progress")
    await db.execute(
        "UPDATE calls SET status = 'in-progress', owner = 'gone', lease_until = now() - interval '1 s' WHERE id = $1",
        call_id,
    )
    _, command = await ask(customer, call_id, "hold")
    assert await settled(customer, command) == ("failed", "call_ended")


@pytest.mark.parametrize(
    ("what", "body", "field"),
    [
        ("say", {}, "text"),
        ("say", {"text": " "}, "text"),
        ("say", {"text": "x", "loud": True}, "loud"),
        ("dtmf", {"digits": "12a"}, "digits"),
        ("dtmf", {"digits": "1", "toneMs": 10}, "toneMs"),
        ("transfer", {"to": "911"}, "to"),
        ("transfer", {"to": "sip:x@y>\r\nEvil: 1"}, "to"),
        ("transfer", {"to": TARGET, "mode": "warm"}, "body"),
        ("transfer", {"to": TARGET, "announcement": "Anna."}, "body"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    customer: Customer, db: Database, what: str, body: Any, field: str
) -> None:
    call_id = await queue(db, tenant=customer.tenant)
    status, answer = await ask(customer, call_id, what, body)
    assert (status, [error["field"] for error in answer["errors"]]) == (422, [field])


async def test_another_users_call_cannot_be_commanded(customer: Customer, db: Database) -> None:
    call_id = await queue(db, tenant=new_id())
    for what, body in (("say", {"text": "x"}), ("hold", None), ("transfer", {"to": TARGET})):
        status, answer = await ask(customer, call_id, what, body)
        assert (status, answer["code"]) == (404, "call_not_found")
    assert (await customer.ask("GET", f"/call/{call_id}/commands/{new_id()}"))[1]["code"] == "call_not_found"
