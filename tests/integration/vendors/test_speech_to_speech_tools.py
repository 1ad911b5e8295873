"""What a model that hears and speaks calls in the middle of its answers, over the vendor's protocol."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from call_service.tools.built_in import send_dtmf
from call_service.tools.tool import Result
from call_service.tools.toolbox import Toolbox
from call_service.vendors.connection import Connection
from call_service.vendors.realtime.line import RealtimeLine
from call_service.vendors.usage import Meter
from call_service.voice.direct import Told
from call_service.voice.ports import AgentProfile, BrainOutput, Press, Say, Spoken, Working
from tests.support.fake_realtime import Reply
from tests.support.fake_vendors import FakeVendors, fake_vendors
from tests.support.sip_peers import until

PROFILE = AgentProfile(name="Maya", instructions="Be kind.")
NUMBER = {"type": "object", "properties": {"order": {"type": "string"}}, "required": ["order"]}


@dataclass
class LookUp:
    """Says where an order is, once `ready`."""

    ready: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    name = kind = "look_up"
    description = "Where an order is."
    parameters = NUMBER
    filler = "One second."
    follow_up = "always"

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        self.asked.append(arguments)
        await self.ready.wait()
        return Result("It is in Rome.")


@asynccontextmanager
async def line(tools: Toolbox, *replies: Reply) -> AsyncIterator[tuple[RealtimeLine, FakeVendors]]:
    async with fake_vendors(spoken=list(replies)) as vendors, aiohttp.ClientSession() as session:
        connection = Connection(session, vendors.base_urls["openai"], {}, Meter("openai", "s2s"))
        model = RealtimeLine(connection, "gpt-realtime-2.1", "marin", {})
        model.open()
        model.begin(PROFILE, tools)
        try:
            yield model, vendors
        finally:
            await model.close()
            await tools.close()
            await until(lambda: not vendors.open_sockets)
            assert [one for known in vendors.sessions for one in known.complaints] == []


def results(vendors: FakeVendors) -> list[str]:
    sent = vendors.sessions[0].received
    items = [event["item"] for event in sent if event["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def words(outputs: list[BrainOutput]) -> str:
    return "".join(output.text for output in outputs if isinstance(output, Spoken))


async def test_a_result_is_told_and_the_model_goes_on_in_words() -> None:
    tool = LookUp()
    tool.ready.set()
    asks = Reply("Let me see.", 0.2, [("look_up", {"order": "17"})])
    async with line(Toolbox([tool]), asks, Reply(" It is in Rome.", 0.4)) as (model, vendors):
        outputs = [output async for output in model.respond()]
        assert words(outputs) == "Let me see. It is in Rome."
        assert (tool.asked, results(vendors)) == ([{"order": "17"}], ["It is in Rome."])
    functions = vendors.sessions[0].received[0]["session"]["tools"]
    assert functions == [
        {"type": "function", "name": "look_up", "description": "Where an order is.", "parameters": NUMBER}
    ]


async def test_a_slow_tool_is_waited_for_with_a_filler() -> None:
    tool = LookUp()
    asks = Reply("", 0, [("look_up", {"order": "17"})])
    async with line(Toolbox([tool]), asks, Reply("In Rome.", 0.4)) as (model, vendors):
        outputs: list[BrainOutput] = []
        async for output in model.respond():
            outputs.append(output)
            if output == Say("One second."):
                tool.ready.set()
        assert outputs[0] == Working()
        assert words(outputs) == "In Rome."
        assert results(vendors) == ["It is in Rome."]


async def test_what_comes_after_an_interruption_is_told_before_the_next_answer() -> None:
    tool = LookUp()
    asks = Reply("", 0, [("look_up", {"order": "17"})])
    async with line(Toolbox([tool]), asks, Reply("Sure.", 0.2), Reply("In Rome.", 0.2)) as (model, vendors):
        async with aclosing(model.respond()) as outputs:
            assert await anext(outputs) == Working()
        await until(lambda: results(vendors))
        assert "still at work" in results(vendors)[0]
        assert words([output async for output in model.respond()]) == "Sure."
        tool.ready.set()
        await asyncio.sleep(0)
        model.tell(Told("user", "So?"))
        assert words([output async for output in model.respond()]) == "In Rome."
        told = [event["item"] for event in vendors.sessions[0].received if event["type"] == "conversation.item.create"]
        [late] = [item for item in told if item.get("role") == "system"]
        assert late["content"][0]["text"] == "The tool look_up has finished: It is in Rome."
        assert tool.asked == [{"order": "17"}]


async def test_arguments_that_do_not_fit_go_back_to_the_model() -> None:
    tool = LookUp()
    asks = Reply("", 0, [("look_up", {"number": 17})])
    async with line(Toolbox([tool]), asks, Reply("Which order?", 0.2)) as (model, vendors):
        assert words([output async for output in model.respond()]) == "Which order?"
        assert "do not fit the schema" in results(vendors)[0]
        assert tool.asked == []


async def test_keys_that_it_wants_pressed_are_an_answer_without_words() -> None:
    async with line(Toolbox([send_dtmf()]), Reply("", 0, [("send_dtmf", {"keys": "1#"})])) as (model, vendors):
        assert [output async for output in model.respond()] == [Press("1#")]
        await until(lambda: results(vendors) == ["Pressed."])
        assert vendors.spoken == []
