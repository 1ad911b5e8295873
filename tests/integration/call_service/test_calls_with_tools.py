"""Whole calls of agents with tools: a real database, a model and functions on loopback, a carrier without a network."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from call_service.calls.domain import Call
from call_service.calls.timeline import timeline
from call_service.carriers.testing import LOUD_FRAME
from call_service.dialer.runner import CallRunner
from call_service.kept import Kept
from call_service.llm import LlmClient, LlmSettings
from call_service.tools.building import Tooling
from call_service.tools.embedding import HashedWords
from call_service.tools.library import Library
from call_service.voice.brain import LlmBrain
from call_service.voice.memory_leg import MemoryLeg
from call_service.voice.ports import Brain
from shared.db import Database
from shared.http_client import GuardedClient
from shared.testing.waiting import eventually
from tests.integration.llm.test_llm_tools import openai
from tests.support.calls import claim
from tests.support.fake_chat_endpoint import Behaviour, FakeEndpoint, says
from tests.support.fake_chat_endpoint import running as chatting
from tests.support.functions import ORDER, functions, hangs, returns
from tests.support.workers import LEASE, Switchboard, queue, read, tools

SECRET = "s3cr3t-of-a-crm"
TARGET = "+12025550101"
HTTP = {
    "type": "http",
    "name": "order_status",
    "description": "The state of an order.",
    "parameters": ORDER,
    "method": "POST",
    "headers": {"Authorization": "Bearer {{secrets.crm}}"},
    "timeoutSeconds": 8,
    "retries": 0,
    "idempotent": False,
    "filler": None,
}
TRANSFER = {"type": "transfer", "mode": "blind", "announcement": "A caller.", "description": None}


@dataclass
class Projects:
    """project_service, as far as tools ask it."""

    documents: list[Mapping[str, str]] = field(default_factory=list)

    async def tool_secrets(self, tenant: str, project_id: str) -> Mapping[str, SecretStr]:
        return {"crm": SecretStr(SECRET)}

    async def passages(self, tenant: str, agent_id: str, known: str | None) -> Mapping[str, Any]:
        return {"revision": "r1", "passages": None if known else self.documents}


@asynccontextmanager
async def in_call(
    db: Database, folder: Path, brain: Brain, projects: Projects | None = None, **agent: Any
) -> AsyncIterator[tuple[Call, MemoryLeg, "asyncio.Task[None]"]]:
    """An answered call whose agent has said its first message."""
    board, known = Switchboard(answers=0.02), projects or Projects()
    await queue(db, silenceTimeoutSeconds=30, recordingEnabled=False, **agent)
    [call] = await claim(db, "worker", LEASE, 1)
    async with GuardedClient(allow_private=True) as client:
        tooling = Tooling(client, Kept(known.tool_secrets), Library(known, HashedWords()))
        at_hand = await tools(db, board, folder)
        at_hand = replace(at_hand, brain=brain, vendors=replace(at_hand.vendors, tooling=tooling))
        running = asyncio.create_task(CallRunner(call, at_hand).run())
        try:
            await spoken(db, call, 1)
            yield call, board.legs[call.id], running
        finally:
            await board.close()
            async with asyncio.timeout(20):
                await running
            await brain.close()


async def spoken(db: Database, call: Call, turns: int) -> list[str]:
    """What the agent has said, once it is so many turns."""

    async def said() -> list[str]:
        rows = await db.fetch("SELECT role, text FROM call_turns WHERE call_id = $1 ORDER BY position", call.id)
        return [row["text"] for row in rows if row["role"] == "agent"]

    async def is_said() -> bool:
        return len(await said()) >= turns

    await eventually(is_said, 20)
    return await said()


def ask(leg: MemoryLeg) -> None:
    """Say something; the null recogniser understands "Yes, please."."""
    leg.say(LOUD_FRAME * 60)


async def uses(db: Database, call: Call) -> list[dict[str, Any]]:
    return [one.data for one in (await timeline(db, call.id)).happened if one.type == "call.tool"]


@asynccontextmanager
async def model(*behaviours: Behaviour) -> AsyncIterator[tuple[LlmBrain, FakeEndpoint]]:
    async with chatting(*behaviours) as endpoint:
        yield LlmBrain(LlmClient(LlmSettings(endpoint.base_url, "m", attempts=1))), endpoint


async def test_a_function_is_called_in_the_middle_of_a_call_and_the_timeline_tells_it(
    db: Database, tmp_path: Path
) -> None:
    answers = openai("", ("order_status", {"order": "AB12"})), says("It was sent on Monday.")
    async with functions(returns('{"state":"sent"}')) as served, model(*answers) as (brain, endpoint):
        tool = {**HTTP, "url": f"{served.url}/orders"}
        async with in_call(db, tmp_path, brain, tools=[tool]) as (call, leg, _):
            ask(leg)
            assert (await spoken(db, call, 2))[-1] == "It was sent on Monday."
    assert orjson.loads(served.asked[0][2]) == {"order": "AB12"}
    assert served.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert served.headers[0]["X-Talkstack-Call-Id"] == call.id
    assert endpoint.bodies[1]["messages"][-1]["content"] == '{"state":"sent"}'
    [use] = await uses(db, call)
    assert (use["call_id"], use["name"], use["ok"], use["error"]) == (call.id, "order_status", True, None)
    assert 0 <= use["ms"] < 5_000
    assert use["at_ms"] > 0
    for table in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'calls'"):
        rows = await db.fetch(f'SELECT t::text AS row FROM calls."{table["tablename"]}" t')
        assert not any(SECRET in row["row"] for row in rows), table["tablename"]


async def test_a_caller_who_hangs_up_ends_what_the_agent_waits_for(db: Database, tmp_path: Path) -> None:
    async with functions(hangs) as served, model(openai("", ("order_status", {"order": "AB12"}))) as (brain, _):
        tool = {**HTTP, "url": served.url}
        async with in_call(db, tmp_path, brain, tools=[tool]) as (call, leg, running):
            ask(leg)
            await eventually(lambda: served.open == 1)
            leg.end()
            async with asyncio.timeout(10):
                await running
            await eventually(lambda: not served.open)
    assert (await read(db, call.id)).reason == "callee_hung_up"
    assert [(use["ok"], use["error"]) for use in await uses(db, call)] == [(False, "call_ended")]


async def test_the_agent_transfers_to_its_number(db: Database, tmp_path: Path) -> None:
    async with (
        model(openai("I will connect you.", ("transfer_call", {}))) as (brain, _),
        in_call(db, tmp_path, brain, tools=[TRANSFER], transferNumbers=[TARGET]) as (call, leg, running),
    ):
        ask(leg)
        async with asyncio.timeout(20):
            await running
    assert leg.transferred_to == TARGET
    ended = await read(db, call.id)
    assert (ended.status, ended.reason) == ("completed", "transferred")
    happened = (await timeline(db, call.id)).happened
    [told] = [one.data for one in happened if one.type == "call.transferred"]
    assert (told["to"], told["mode"]) == (TARGET, "blind")
    assert (await spoken(db, call, 2))[-1] == "I will connect you."


async def test_a_transfer_that_fails_is_apologised_for_and_the_call_goes_on(db: Database, tmp_path: Path) -> None:
    answers = openai("I will connect you.", ("transfer_call", {})), says("What else can I do?")
    async with (
        model(*answers) as (brain, endpoint),
        in_call(db, tmp_path, brain, tools=[TRANSFER], transferNumbers=[TARGET]) as (call, leg, _),
    ):
        leg.refusal = 486
        ask(leg)
        assert (await spoken(db, call, 3))[-1] == "I am sorry, nobody could be reached there just now."
        ask(leg)
        assert (await spoken(db, call, 4))[-1] == "What else can I do?"
    heard = [message["content"] for message in endpoint.bodies[1]["messages"] if message["role"] == "assistant"]
    assert "I am sorry, nobody could be reached there just now." in heard


async def test_keys_go_out_on_the_line(db: Database, tmp_path: Path) -> None:
    tool = {"type": "sendDtmf", "goal": "reach the reception", "description": None}
    async with (
        model(openai("", ("send_dtmf", {"keys": "0"}))) as (brain, endpoint),
        in_call(db, tmp_path, brain, tools=[tool]) as (call, leg, _),
    ):
        ask(leg)
        await eventually(lambda: leg.sent_dtmf == "0")
    assert "Your goal there: reach the reception." in endpoint.bodies[0]["messages"][0]["content"]
    assert [use["name"] for use in await uses(db, call)] == ["send_dtmf"]


async def test_a_model_looks_up_the_agents_documents(db: Database, tmp_path: Path) -> None:
    projects = Projects([{"document": "visit.md", "text": "You can park behind the house."}])
    answers = openai("", ("look_up", {"question": "Where can I park?"})), says("Behind the house.")
    async with model(*answers) as (brain, endpoint):
        agent = {"tools": [{"type": "lookUp", "description": None}]}
        async with in_call(db, tmp_path, brain, projects, **agent) as (call, leg, _):
            ask(leg)
            assert (await spoken(db, call, 2))[-1] == "Behind the house."
    assert endpoint.bodies[1]["messages"][-1]["content"] == "[visit.md] You can park behind the house."
