"""Whole calls in which a model that hears and speaks itself uses the agent's tools, on a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from call_service.voice.ports import Brain
from shared.db import Database
from shared.testing.waiting import eventually
from tests.integration.call_service.test_calls_with_tools import HTTP, SECRET, TARGET, TRANSFER, Projects, model, uses
from tests.integration.vendors.test_calls_with_vendors import LONGEST_SILENCE_MS, Silence
from tests.integration.vendors.test_speech_to_speech import GREETING, LiveCall, noise, talking
from tests.support.fake_chat_endpoint import says
from tests.support.fake_realtime import Reply
from tests.support.fake_vendors import Fault
from tests.support.functions import functions, hangs, returns
from tests.support.sip_peers import until
from tests.support.workers import events_of, read

ASKS = Reply("", 0, [("order_status", {"order": "AB12"})])
BYE = Reply("It was sent. Bye!", 0.6, [("end_call", {})])
HELLO = Reply(GREETING, 0.6)
FILLER = "I am looking."
MENU = "For sales, press one. For support, press two."


@asynccontextmanager
async def closing(brain: Brain) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await brain.close()


def results(live: LiveCall) -> list[str]:
    """What the model was told of its tools, in the order of its calls."""
    return [output for had in live.vendors.sessions[0].outputs.values() for output in had]


def order_status(url: str, **changes: Any) -> dict[str, Any]:
    return {"tools": [{**HTTP, "url": f"{url}/orders", "filler": FILLER, **changes}]}


async def test_a_function_is_called_with_the_projects_secret_and_the_timeline_tells_it(
    db: Database, tmp_path: Path
) -> None:
    async with functions(returns('{"state":"sent"}')) as served:
        agent = order_status(served.url)
        async with talking(db, tmp_path, agent=agent, texts=["Where is AB12?"], spoken=[HELLO, ASKS, BYE]) as live:
            await live.spoken(1)
            live.leg.say(noise(1200))
    assert orjson.loads(served.asked[0][2]) == {"order": "AB12"}
    assert served.headers[0]["Authorization"] == f"Bearer {SECRET}"
    assert served.headers[0]["X-Talkstack-Call-Id"] == live.call.id
    assert results(live)[0] == '{"state":"sent"}'
    assert [turn.text for turn in await live.said() if turn.role == "agent"][-1] == "It was sent. Bye!"
    assert [(use["name"], use["ok"], use["error"]) for use in await uses(db, live.call)] == [
        ("order_status", True, None),
        ("end_call", True, None),
    ]
    ended = await read(db, live.call.id)
    assert ended.reason == "agent_hung_up"
    assert {line["unit"]: line["amount"] for line in ended.costs if line["kind"] == "s2s"}["audio_tokens_out"] == 3 * 91
    for table in await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'calls'"):
        rows = await db.fetch(f'SELECT t::text AS row FROM calls."{table["tablename"]}" t')
        assert not any(SECRET in row["row"] for row in rows), table["tablename"]
    assert SECRET not in str(live.vendors.sessions[0].received)


async def test_a_slow_function_is_bridged_by_its_filler_and_no_broken_model(db: Database, tmp_path: Path) -> None:
    async with functions(returns("sent", after=2.5)) as served:
        spoken = [HELLO, ASKS, Reply("It was sent.", 0.6), Reply("Bye!", 0.4, [("end_call", {})])]
        texts = ["Where is AB12?", "Thanks."]
        async with talking(db, tmp_path, agent=order_status(served.url), texts=texts, spoken=spoken) as live:
            await live.spoken(1)
            live.leg.say(noise(1200))
            turns = await live.spoken(3)
            live.leg.say(noise(1200, 2))
    [answer] = [turn.text for turn in turns if "sent" in turn.text]
    assert FILLER in answer
    assert answer.endswith("It was sent.")
    told = [event["item"] for event in live.sent("conversation.item.create")]
    named = [item["content"][0]["text"] for item in told if item.get("role") == "assistant"]
    assert FILLER in named[0]
    assert "It was sent." not in named[0]
    assert "call.degraded" not in await events_of(db, live.call.id)


@pytest.mark.parametrize(
    ("behaviour", "told", "error"),
    [(hangs, "No answer came in time.", "timeout"), (returns("no", 500), "HTTP status 500: no", "http_500")],
    ids=["hangs", "fails"],
)
async def test_the_model_hears_why_a_function_failed(
    db: Database, tmp_path: Path, behaviour: Any, told: str, error: str
) -> None:
    async with functions(behaviour) as served:
        agent = order_status(served.url, timeoutSeconds=1)
        spoken = [HELLO, ASKS, Reply("I can not see it. Bye!", 0.6, [("end_call", {})])]
        async with talking(db, tmp_path, agent=agent, texts=["Where is AB12?"], spoken=spoken) as live:
            await live.spoken(1)
            live.leg.say(noise(1200))
    assert told in results(live)[0]
    assert [(use["ok"], use["error"]) for use in await uses(db, live.call)] == [(False, error), (True, None)]
    assert (await read(db, live.call.id)).reason == "agent_hung_up"


async def test_a_caller_who_hangs_up_ends_what_the_model_waits_for(db: Database, tmp_path: Path) -> None:
    async with functions(hangs) as served:
        agent = order_status(served.url)
        async with talking(db, tmp_path, agent=agent, texts=["Where is AB12?"], spoken=[HELLO, ASKS]) as live:
            await live.spoken(1)
            live.leg.say(noise(1200))
            await until(lambda: served.open == 1)
            live.leg.end()
        await until(lambda: not served.open)
    assert (await read(db, live.call.id)).reason == "callee_hung_up"
    assert [(use["ok"], use["error"]) for use in await uses(db, live.call)] == [(False, "call_ended")]
    assert [text for text in results(live) if "still at work" not in text] == []


async def test_a_caller_who_interrupts_has_the_result_in_the_next_answer(db: Database, tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def behaves(request: Any) -> Any:
        await gate.wait()
        return await returns("sent")(request)

    spoken = [HELLO, ASKS, Reply("Yes, I am here.", 0.6), BYE]
    texts = ["Where is AB12?", "Are you there?", "And?"]
    async with (
        functions(behaves) as served,
        talking(db, tmp_path, agent=order_status(served.url), texts=texts, spoken=spoken) as live,
    ):

        async def is_here() -> bool:
            return any("I am here" in turn.text for turn in await live.said())

        await live.spoken(1)
        live.leg.say(noise(1200))
        await until(lambda: served.open == 1)
        live.leg.say(noise(1500, 2))
        await until(lambda: len(live.sent("response.create")) == 3)
        gate.set()
        await until(lambda: not served.open)
        await eventually(is_here)
        live.leg.say(noise(1200, 3))
    assert len(served.asked) == 1
    assert "still at work" in results(live)[0]
    assert "sent" in results(live)


async def test_a_warm_transfer_is_told_and_announced(db: Database, tmp_path: Path) -> None:
    tool = {**TRANSFER, "mode": "warm", "announcement": "Anna about an order."}
    agent = {"tools": [tool], "transferNumbers": [TARGET]}
    spoken = [HELLO, Reply("", 0, [("transfer_call", {})]), Reply("I will connect you.", 0.6)]
    async with talking(db, tmp_path, agent=agent, texts=["A person, please."], spoken=spoken) as live:

        async def is_joined() -> bool:
            return "call.transferred" in await events_of(db, live.call.id)

        await live.spoken(1)
        live.leg.say(noise(1200))
        await until(lambda: TARGET in live.board.numbers)
        target = live.board.legs[live.board.dialled[live.board.numbers.index(TARGET)]]
        heard: list[bytes] = []
        target.on_played_frame(heard.append)
        await until(lambda: sum(map(any, heard)) > 25, 20)  # the announcement
        await eventually(is_joined)
        target.end()
    assert (await read(db, live.call.id)).reason == "transferred"
    assert [turn.text for turn in await live.said() if turn.role == "agent"][-1] == "I will connect you."


async def test_a_transfer_that_fails_is_known_to_the_model(db: Database, tmp_path: Path) -> None:
    agent = {"tools": [TRANSFER], "transferNumbers": [TARGET]}
    connects = Reply("I will connect you.", 0.6, [("transfer_call", {})])
    spoken = [HELLO, connects, Reply("What else? Bye!", 0.6, [("end_call", {})])]
    async with talking(db, tmp_path, agent=agent, texts=["A person, please.", "Hm."], spoken=spoken) as live:
        live.leg.refusal = 486
        await live.spoken(1)
        live.leg.say(noise(1200))
        await live.spoken(4)
        live.leg.say(noise(1200, 2))
    sorry = "I am sorry, nobody could be reached there just now."
    assert sorry in [turn.text for turn in await live.said()]
    told = [event["item"] for event in live.sent("conversation.item.create")]
    assert sorry in [item["content"][0]["text"] for item in told if item.get("role") == "assistant"]


async def test_a_menu_is_answered_with_one_key_once(db: Database, tmp_path: Path) -> None:
    agent = {"tools": [{"type": "sendDtmf", "goal": "reach sales", "description": None}]}
    presses = Reply("", 0, [("send_dtmf", {"keys": "1"})])
    spoken = [HELLO, presses, Reply("Hello. Bye!", 0.6, [("end_call", {})]), presses]
    async with talking(db, tmp_path, agent=agent, texts=[MENU, "Sales, Bob speaking."], spoken=spoken) as live:
        await live.spoken(1)
        live.leg.say(noise(1500))
        await until(lambda: live.leg.sent_dtmf)
        await live.spoken(2)
        live.leg.say(noise(1200, 2))
    assert live.leg.sent_dtmf == "1"
    assert results(live)[0] == "Pressed."
    assert live.vendors.spoken == [presses]
    assert "Your goal there: reach sales." in live.sent("session.update")[0]["session"]["instructions"]


async def test_the_agents_documents_are_looked_up(db: Database, tmp_path: Path) -> None:
    projects = Projects([{"document": "visit.md", "text": "You can park behind the house."}])
    asks = Reply("", 0, [("look_up", {"question": "Where can I park?"})])
    spoken = [HELLO, asks, Reply("Behind the house. Bye!", 0.6, [("end_call", {})])]
    agent = {"tools": [{"type": "lookUp", "description": None}]}
    async with talking(db, tmp_path, projects=projects, agent=agent, texts=["Parking?"], spoken=spoken) as live:
        await live.spoken(1)
        live.leg.say(noise(1200))
    assert results(live)[0] == "[visit.md] You can park behind the house."


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.CUT, Fault.GARBAGE, Fault.BUSY])
async def test_the_pipeline_goes_on_with_what_the_models_tools_have_found(
    db: Database, tmp_path: Path, fault: Fault
) -> None:
    spoken = [HELLO, ASKS, *[Reply("Never heard, or half of it. " * 4, 8.0)] * 3]
    found = returns('{"state":"sent"}', after=0.3)
    async with functions(found) as served, model(says("It was sent.")) as (brain, chat), closing(brain):
        agent, texts = order_status(served.url), ["Where is AB12?"]
        async with talking(db, tmp_path, agent=agent, brain=brain, texts=texts, spoken=spoken) as live:
            await live.spoken(1)
            live.leg.say(noise(1200))
            await until(lambda: served.open == 1)
            live.vendors.fault = fault
            silence = Silence()
            live.leg.on_played_frame(lambda frame: silence.hear(frame, is_owed=not live.leg.callee_is_speaking))
            turns = await live.spoken(3)
            live.leg.end()
    assert silence.longest_ms <= LONGEST_SILENCE_MS
    assert len(served.asked) == 1
    assert '{"state":"sent"}' in [message["content"] for message in chat.bodies[0]["messages"]]
    assert "It was sent." in turns[-1].text
