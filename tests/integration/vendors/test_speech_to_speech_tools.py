"""What a model that hears and speaks calls in the middle of its answers, over the vendor's protocol."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

from call_service.tools.built_in import BASIC, collect, send_dtmf, transfer
from call_service.tools.tool import Result
from call_service.tools.toolbox import Toolbox, Used
from call_service.vendors.connection import Connection
from call_service.vendors.realtime.line import RealtimeLine
from call_service.vendors.usage import Meter
from call_service.voice.direct import Told
from call_service.voice.ports import (
    AgentProfile,
    BrainOutput,
    Collected,
    EndCall,
    Press,
    Say,
    Spoken,
    Transfer,
    Working,
)
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


def sent(vendors: FakeVendors, kind: str) -> list[dict[str, Any]]:
    return [event for event in vendors.sessions[0].received if event["type"] == kind]


def items(vendors: FakeVendors) -> list[dict[str, Any]]:
    return [event["item"] for event in sent(vendors, "conversation.item.create")]


def results(vendors: FakeVendors) -> list[str]:
    return [item["output"] for item in items(vendors) if item["type"] == "function_call_output"]


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
        assert results(vendors)[1:] == ["It is in Rome."]
        [late] = [item for item in items(vendors) if item["type"] == "function_call"]
        assert (late["name"], late["arguments"]) == ("look_up", '{"order":"17"}')
        assert tool.asked == [{"order": "17"}]


async def test_a_call_that_is_made_again_meanwhile_has_one_result_and_is_not_told_of_it_later() -> None:
    tool = LookUp()
    asks = Reply("", 0, [("look_up", {"order": "17"})])
    async with line(Toolbox([tool]), asks, asks, Reply("In Rome.", 0.2), Reply("Bye.", 0.2)) as (model, vendors):
        async with aclosing(model.respond()) as outputs:
            assert await anext(outputs) == Working()
        tool.ready.set()
        assert words([output async for output in model.respond()]) == "In Rome."
        assert words([output async for output in model.respond()]) == "Bye."
        assert [text for text in results(vendors) if "still at work" not in text] == ["It is in Rome."]
        assert tool.asked == [{"order": "17"}]


async def test_what_is_found_is_told_even_where_a_value_is_noted_in_between() -> None:
    tool = LookUp()
    tool.ready.set()
    asks = Reply("Let me see.", 0.2, [("look_up", {"order": "17"})])
    notes = Reply("", 0, [("collect", {"field": "order", "value": "17"})])
    async with line(Toolbox([*BASIC, tool]), asks, notes, Reply(" In Rome.", 0.2)) as (model, _):
        outputs = [output async for output in model.respond()]
    assert words(outputs) == "Let me see. In Rome."
    assert Collected("order", "17") in outputs


@pytest.mark.parametrize(
    ("call", "last"), [("transfer_call", Transfer("+12025550101", "warm", "A caller.")), ("end_call", EndCall())]
)
async def test_it_speaks_before_it_leaves(call: str, last: BrainOutput) -> None:
    tools = [*BASIC, transfer(["+12025550101"], "warm", "A caller.", None)]
    async with line(Toolbox(tools), Reply("", 0, [(call, {})]), Reply("Goodbye.", 0.2)) as (model, vendors):
        outputs = [output async for output in model.respond()]
        assert (words(outputs), outputs[-1], outputs.count(last)) == ("Goodbye.", last, 1)
        assert len(results(vendors)) == 1


async def test_a_transfer_that_did_not_come_about_is_told_before_the_next_answer() -> None:
    tools = Toolbox([transfer(["+12025550101"], "blind", "", None)])
    replies = Reply("I connect you.", 0.2, [("transfer_call", {})]), Reply("All right.", 0.2), Reply("Yes?", 0.2)
    async with line(tools, *replies) as (model, vendors):
        assert [output async for output in model.respond()][-1] == Transfer("+12025550101")
        for _ in range(2):
            assert [output async for output in model.respond()]
        await until(lambda: len(sent(vendors, "response.create")) == 3)
        told = results(vendors)
    assert [text.split(" when")[0].split(":")[0] for text in told] == [
        "They are connected",
        "They were not connected",
    ], "once"


async def test_what_is_refused_is_not_noted() -> None:
    wrong = Reply("Noted.", 0.2, [("collect", {"field": "shoe_size", "value": "43"})])
    async with line(Toolbox([collect(fields={"day": None})]), wrong, Reply("Sorry.", 0.2)) as (model, _vendors):
        outputs = [output async for output in model.respond()]
    assert not any(isinstance(output, Collected) for output in outputs)


async def test_a_model_that_calls_for_ever_has_to_answer_in_words() -> None:
    tool = LookUp()
    tool.ready.set()
    asks = [Reply("", 0, [("look_up", {"order": str(number)})]) for number in range(3)]
    stubborn = Reply("I do not know.", 0.2, [("look_up", {"order": "3"})])
    async with line(Toolbox([tool]), *asks, stubborn) as (model, vendors):
        assert words([output async for output in model.respond()]) == "I do not know."
        asked = [event.get("response") for event in sent(vendors, "response.create")]
        assert asked == [None, None, None, {"tool_choice": "none"}]
        assert len(tool.asked) == 3


async def test_what_is_called_for_in_an_answer_that_was_interrupted_is_not_done() -> None:
    tool = LookUp()
    asks = Reply("Let me see.", 0.2, [("look_up", {"order": "17"})], lingers=20)
    async with line(Toolbox([tool]), asks, Reply("Yes?", 0.2)) as (model, vendors):
        async with aclosing(model.respond()) as outputs:
            await anext(outputs)
            await until(lambda: vendors.sessions[0].outputs)
        assert words([output async for output in model.respond()]) == "Yes?"
        assert "not done" in results(vendors)[0]
        assert len(sent(vendors, "response.cancel")) == 1
        assert tool.asked == []


@pytest.mark.parametrize(
    ("call", "told", "error"),
    [
        (("look_up", {"number": 17}), "do not fit the schema", "invalid_arguments"),
        (("look_up", '{"order": "1'), "not a JSON object", "malformed_arguments"),
        (("fly", {}), "There is no such tool", "unknown_tool"),
    ],
)
async def test_a_call_that_can_not_be_made_is_explained_to_the_model(
    call: tuple[str, dict[str, Any] | str], told: str, error: str
) -> None:
    tool, used = LookUp(), list[Used]()
    async with line(Toolbox([tool], used.append), Reply("", 0, [call]), Reply("Sorry.", 0.2)) as (model, vendors):
        assert words([output async for output in model.respond()]) == "Sorry."
        assert told in results(vendors)[0]
    assert tool.asked == []
    assert [use.error for use in used] == [error]


async def test_keys_that_it_wants_pressed_are_an_answer_without_words() -> None:
    async with line(Toolbox([send_dtmf()]), Reply("", 0, [("send_dtmf", {"keys": "1#"})])) as (model, vendors):
        assert [output async for output in model.respond()] == [Press("1#")]
        await until(lambda: results(vendors) == ["Pressed."])
        assert vendors.spoken == []
