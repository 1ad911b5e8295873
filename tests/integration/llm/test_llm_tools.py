"""Language models with tools, in both dialects, against real loopback endpoints."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import pytest
from pydantic import SecretStr

from call_service.llm import AnthropicDialect, LlmClient, LlmSettings, OpenAiDialect
from call_service.llm.dialect import Dialect
from call_service.tools.built_in import BASIC, collect, send_dtmf, transfer, wait
from call_service.tools.tool import FollowUp, Result, Tool
from call_service.tools.toolbox import Toolbox, Used
from call_service.voice.brain import BuiltinBrain, LlmBrain
from call_service.voice.fallback import Chain, FallbackConversation, Switch
from call_service.voice.ports import (
    AgentProfile,
    BrainOutput,
    Collected,
    Conversation,
    EndCall,
    Listen,
    Press,
    Say,
    Transfer,
    Turn,
    Working,
)
from tests.support.fake_chat_endpoint import (
    STOP,
    Behaviour,
    FakeEndpoint,
    call_chunk,
    fails,
    running,
    says,
    streams,
    text_chunk,
)

PROFILE = AgentProfile("Maya", "You are Maya of Bright Dental.")
HISTORY = (Turn("agent", "How can I help?", 0, 900), Turn("user", "Hi.", 1000, 1200))
ARGUMENTS = {"order": "AB12"}


@dataclass
class Lookup:
    """A tool that takes its time."""

    seconds: float = 0.0
    text: str = "Sent on Monday."
    error: str | None = None
    name: str = "order_status"
    kind: str = "http"
    description: str = "The state of an order."
    parameters: Mapping[str, Any] = field(
        default_factory=lambda: {
            "type": "object",
            "properties": {"order": {"type": "string"}},
            "required": ["order"],
        }
    )
    filler: str | None = "One moment, I am looking."
    follow_up: FollowUp = "always"
    asked: list[Mapping[str, Any]] = field(default_factory=list)
    cancelled: int = 0
    most_at_once: int = 0
    _running: int = 0

    async def run(self, arguments: Mapping[str, Any], use_id: str) -> Result:
        self.asked.append(arguments)
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self._running -= 1
        return Result(self.text, self.error)


def openai(text: str, *calls: tuple[str, Any]) -> Behaviour:
    """Words, then calls of tools; arguments that are text go out as they are, in pieces."""
    chunks = [text_chunk(text)] if text else []
    for index, (name, arguments) in enumerate(calls):
        raw = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        chunks += [
            call_chunk(index, name=name),
            call_chunk(index, arguments=raw[:5]),
            call_chunk(index, arguments=raw[5:]),
        ]
    return streams(*chunks, STOP)


def _event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def anthropic(text: str, *calls: tuple[str, Any]) -> Behaviour:
    events = [_event("message_start", message={"usage": {"input_tokens": 3, "output_tokens": 1}})]
    if text:
        events.append(_event("content_block_start", index=0, content_block={"type": "text", "text": ""}))
        events.append(_event("content_block_delta", index=0, delta={"type": "text_delta", "text": text}))
    for index, (name, arguments) in enumerate(calls, 1):
        raw = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
        use = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
        events.append(_event("content_block_start", index=index, content_block=use))
        for part in (raw[:5], raw[5:]):
            delta = {"type": "input_json_delta", "partial_json": part}
            events.append(_event("content_block_delta", index=index, delta=delta))
    return streams(*events, _event("message_stop"))


DIALECTS = {"openai": (OpenAiDialect, openai), "anthropic": (AnthropicDialect, anthropic)}
both = pytest.mark.parametrize("vendor", ["openai", "anthropic"])


@asynccontextmanager
async def talking(
    dialect: Dialect, tools: Sequence[Tool], *behaviours: Behaviour
) -> AsyncIterator[tuple[Conversation, FakeEndpoint, Toolbox, list[Used]]]:
    used: list[Used] = []
    toolbox = Toolbox([*BASIC, *tools], used.append)
    async with running(*behaviours) as endpoint:
        settings = LlmSettings(endpoint.base_url, "m", SecretStr("k"), dialect=dialect, attempts=1)
        brain = LlmBrain(LlmClient(settings))
        try:
            yield brain.converse(PROFILE, toolbox), endpoint, toolbox, used
        finally:
            await toolbox.close()
            await brain.close()


async def reply(
    talk: Conversation, heard: str = "Where is my order?", history: Sequence[Turn] = HISTORY
) -> list[BrainOutput]:
    return [output async for output in talk.reply(heard, history) if output != Working()]


def results_in(body: Mapping[str, Any]) -> list[str]:
    """What tools returned, as the model was told, in either dialect."""
    found = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    for message in body["messages"]:
        if isinstance(message["content"], list):
            found += [block["content"] for block in message["content"] if block["type"] == "tool_result"]
    return found


@both
async def test_words_before_a_call_are_spoken_and_its_result_is_answered_with(vendor: str) -> None:
    make, write = DIALECTS[vendor]
    tool = Lookup()
    behaviours = write("Let me see.", ("order_status", ARGUMENTS)), write("It was sent on Monday.")
    async with talking(make(), [tool], *behaviours) as (talk, endpoint, _, used):
        assert await reply(talk) == [Say("Let me see."), Say("It was sent on Monday.")]
    assert tool.asked == [ARGUMENTS]
    assert results_in(endpoint.bodies[1]) == ["Sent on Monday."]
    assert [(use.name, use.error) for use in used] == [("order_status", None)]


@both
async def test_calls_that_come_together_run_together(vendor: str) -> None:
    make, write = DIALECTS[vendor]
    orders = [("order_status", {"order": name}) for name in ("A1", "B2", "C3")]
    tool = Lookup(seconds=0.4)
    async with talking(make(), [tool], write("", *orders), write("All sent.")) as (talk, endpoint, _, _used):
        assert await reply(talk) == [Say("All sent.")]
    assert tool.most_at_once == 3
    assert [asked["order"] for asked in tool.asked] == ["A1", "B2", "C3"]
    assert results_in(endpoint.bodies[1]) == ["Sent on Monday."] * 3


@both
@pytest.mark.parametrize(
    ("call", "told", "error"),
    [
        (("order_status", '{"order": "AB'), "not a JSON object", "malformed_arguments"),
        (("order_status", "[1, 2, 3]"), "not a JSON object", "malformed_arguments"),
        (("order_status", {"number": 1}), "'order' is a required property", "invalid_arguments"),
        (("order_status", {"order": 12}), "order: 12 is not of type 'string'", "invalid_arguments"),
        (("drop_tables", {}), "There is no such tool", "unknown_tool"),
    ],
)
async def test_a_call_that_can_not_be_made_is_explained_to_the_model(
    vendor: str, call: tuple[str, Any], told: str, error: str
) -> None:
    make, write = DIALECTS[vendor]
    tool = Lookup()
    behaviours = write("", call), write("", ("order_status", ARGUMENTS)), write("Sent.")
    async with talking(make(), [tool], *behaviours) as (talk, endpoint, _, used):
        assert await reply(talk) == [Say("Sent.")]
    assert told in results_in(endpoint.bodies[1])[0]
    assert tool.asked == [ARGUMENTS]
    assert [use.error for use in used] == [error, None]


@both
async def test_a_model_that_calls_for_ever_is_told_to_speak_and_then_left(vendor: str) -> None:
    make, write = DIALECTS[vendor]
    calls = [write("", ("order_status", {"order": str(number)})) for number in range(9)]
    async with talking(make(), [Lookup()], *calls) as (talk, endpoint, _, _used):
        assert await reply(talk) == []
    assert len(endpoint.bodies) == 4
    assert "Answer in words now" not in orjson.dumps(endpoint.bodies[2]).decode()
    assert "Answer in words now" in orjson.dumps(endpoint.bodies[3]).decode()


@pytest.mark.parametrize(
    ("words", "seconds", "outputs"),
    [
        ("", 0.0, [Say("It was sent.")]),
        ("", 1.4, [Say("One moment, I am looking."), Say("It was sent.")]),
        ("I will look.", 1.4, [Say("I will look."), Say("It was sent.")]),
    ],
)
async def test_a_long_wait_is_filled_once_where_nothing_was_said(
    words: str, seconds: float, outputs: list[BrainOutput]
) -> None:
    behaviours = openai(words, ("order_status", ARGUMENTS)), says("It was sent.")
    async with talking(OpenAiDialect(), [Lookup(seconds)], *behaviours) as (talk, _, _toolbox, _used):
        assert await reply(talk) == outputs


async def test_it_is_told_all_the_time_that_a_tool_is_at_work() -> None:
    behaviours = openai("", ("order_status", ARGUMENTS)), says("It was sent.")
    async with talking(OpenAiDialect(), [Lookup(2.2)], *behaviours) as (talk, _, _toolbox, _used):
        outputs = [output async for output in talk.reply("Where is it?", HISTORY)]
    assert outputs.count(Working()) >= 3


async def test_what_an_interruption_left_is_known_to_the_next_answer_and_not_done_twice() -> None:
    tool = Lookup(seconds=0.5)
    behaviours = openai("", ("order_status", ARGUMENTS)), openai("", ("order_status", ARGUMENTS)), says("Sent.")
    async with talking(OpenAiDialect(), [tool], *behaviours) as (talk, endpoint, _, used):
        interrupted = talk.reply("Where is my order?", HISTORY)
        assert await anext(interrupted) == Working()
        await interrupted.aclose()  # type: ignore[attr-defined]
        assert await reply(talk, "Where is my order? It is AB12.") == [Say("Sent.")]
    assert "still at work" in results_in(endpoint.bodies[1])[0]
    assert results_in(endpoint.bodies[2])[-1] == "Sent on Monday."
    assert len(tool.asked) == 1
    assert len(used) == 1


async def test_a_result_stays_where_it_belongs_in_the_conversation() -> None:
    behaviours = openai("", ("order_status", ARGUMENTS)), says("Sent."), says("You are welcome.")
    async with talking(OpenAiDialect(), [Lookup()], *behaviours) as (talk, endpoint, _, _used):
        await reply(talk, "Where is it?")
        later = (*HISTORY, Turn("user", "Where is it?", 1300, 1500), Turn("agent", "Sent.", 1600, 1900))
        await reply(talk, "Thanks.", later)
    assert [message["role"] for message in endpoint.bodies[2]["messages"]] == [
        "system",
        "assistant",
        "user",
        "user",
        "assistant",  # calls the tool
        "tool",
        "assistant",
        "user",
    ]


async def test_the_end_of_the_call_cancels_what_is_at_work() -> None:
    tool = Lookup(seconds=60)
    async with talking(OpenAiDialect(), [tool], openai("", ("order_status", ARGUMENTS))) as (talk, _, toolbox, used):
        answering = talk.reply("Where is it?", HISTORY)
        assert [await anext(answering), await anext(answering)] == [Working(), Working()]  # so it has begun
        await answering.aclose()  # type: ignore[attr-defined]
        await toolbox.close()
        assert tool.cancelled == 1
        assert [use.error for use in used] == ["call_ended"]


async def test_a_brain_that_takes_over_gets_the_result_and_nothing_is_done_twice() -> None:
    """The first model asks, and breaks when it should answer; the second asks for the same."""
    tool, switches = Lookup(), list[Switch]()
    toolbox = Toolbox([*BASIC, tool])
    asks = openai("", ("order_status", ARGUMENTS))
    async with running(asks, fails(500)) as first, running(asks, says("Sent.")) as second:
        brains = [
            LlmBrain(LlmClient(LlmSettings(endpoint.base_url, "m", attempts=1, total_timeout=timedelta(seconds=5))))
            for endpoint in (first, second)
        ]
        named = [(str(place), brain.converse(PROFILE, toolbox)) for place, brain in enumerate(brains)]
        conversation = FallbackConversation(Chain("llm", named, switches.append), "Again, please?")
        assert await reply(conversation) == [Say("Sent.")]
        for brain in brains:
            await brain.close()
    assert len(tool.asked) == 1
    assert [switch.why for switch in switches] == ["failed"]


async def test_a_slow_tool_is_no_slow_brain() -> None:
    tool, switches = Lookup(seconds=2.5), list[Switch]()
    toolbox = Toolbox([*BASIC, tool])
    async with running(openai("", ("order_status", ARGUMENTS)), says("Sent.")) as endpoint:
        brain = LlmBrain(LlmClient(LlmSettings(endpoint.base_url, "m", attempts=1)))
        named = [("llm", brain.converse(PROFILE, toolbox)), ("local", BuiltinBrain().converse(PROFILE, toolbox))]
        conversation = FallbackConversation(Chain("llm", named, switches.append), "Again, please?")
        assert await reply(conversation) == [Say("One moment, I am looking."), Say("Sent.")]
        await brain.close()
    assert switches == []


async def test_keys_are_pressed_without_another_word() -> None:
    tools = [send_dtmf(), wait()]
    behaviours = openai("", ("send_dtmf", {"keys": "1"})), openai("", ("wait", {})), says("Never.")
    async with talking(OpenAiDialect(), tools, *behaviours) as (talk, endpoint, _, used):
        assert await reply(talk, "For sales, press one.") == [Press("1")]
        assert await reply(talk, "Please hold.") == [Listen()]
    assert len(endpoint.bodies) == 2
    assert [use.name for use in used] == ["send_dtmf", "wait"]


async def test_keys_that_no_telephone_has_are_refused() -> None:
    behaviours = openai("", ("send_dtmf", {"keys": "one"})), openai("", ("send_dtmf", {"keys": "1"}))
    async with talking(OpenAiDialect(), [send_dtmf()], *behaviours) as (talk, _, _toolbox, used):
        assert await reply(talk, "For sales, press one.") == [Press("1")]
    assert [use.error for use in used] == ["invalid_arguments", None]


@pytest.mark.parametrize(
    ("arguments", "to", "rounds"),
    [({"to": "+12025550102"}, "+12025550102", 1), ({}, "+12025550101", 1), ({"to": "+19005550100"}, None, 2)],
)
async def test_transfers_go_to_the_agents_numbers_only(arguments: dict[str, str], to: str | None, rounds: int) -> None:
    tool = transfer(["+12025550101", "+12025550102"], "blind", "", None)
    behaviours = openai("I connect you.", ("transfer_call", arguments)), says("I can not do that.")
    async with talking(OpenAiDialect(), [tool], *behaviours) as (talk, endpoint, _, _used):
        outputs = await reply(talk, "Give me a person.")
    wanted = [Transfer(to)] if to else [Say("I can not do that.")]
    assert outputs == [Say("I connect you."), *wanted]
    assert len(endpoint.bodies) == rounds


async def test_values_and_the_end_of_the_call_are_tools_like_any_other() -> None:
    calls = ("collect", {"field": "name", "value": "Anna"}), ("end_call", {})
    async with talking(OpenAiDialect(), [], openai("Goodbye.", *calls)) as (talk, endpoint, _, used):
        assert await reply(talk) == [Collected("name", "Anna"), Say("Goodbye."), EndCall()]
    assert len(endpoint.bodies) == 1
    assert [use.name for use in used] == ["collect", "end_call"]


@both
async def test_the_model_knows_what_it_said_together_with_a_call(vendor: str) -> None:
    """It said the same again, for it did not see that it had."""
    make, write = DIALECTS[vendor]
    behaviours = write("Let me see. One moment.", ("order_status", ARGUMENTS)), write("Sent."), write("Bye.")
    async with talking(make(), [Lookup()], *behaviours) as (talk, endpoint, _, _used):
        await reply(talk)
        said = Turn("agent", "Let me see. One moment. Sent.", 1300, 2000)
        await reply(talk, "Thanks.", (*HISTORY, said))
    assert orjson.dumps(endpoint.bodies[1]).count(b"Let me see. One moment.") == 1
    assert orjson.dumps(endpoint.bodies[2]).count(b"Let me see. One moment.") == 1, "it is a turn by then"


@both
async def test_what_is_refused_is_not_done_all_the_same(vendor: str) -> None:
    make, write = DIALECTS[vendor]
    wrong = write("", ("collect", {"field": "shoe_size", "value": "43"}), ("end_call", "[1]"))
    right = write("Noted.", ("collect", {"field": "day", "value": "Friday"}))
    async with talking(make(), [collect(fields={"day": None})], wrong, right) as (talk, endpoint, _, used):
        assert await reply(talk, "Friday, size 43.") == [Collected("day", "Friday"), Say("Noted.")]
    assert "not one of" in results_in(endpoint.bodies[1])[0]
    assert [use.error for use in used] == ["invalid_arguments", "malformed_arguments", None]


@both
@pytest.mark.parametrize(
    ("call", "promised", "lapsed"),
    [
        ("transfer_call", "They are connected when you have spoken", "They were not connected"),
        ("end_call", "Done", "The call was not ended"),
    ],
)
async def test_what_an_interruption_has_undone_is_told_with_the_next_prompt(
    vendor: str, call: str, promised: str, lapsed: str
) -> None:
    make, write = DIALECTS[vendor]
    tool = transfer(["+12025550101"], "blind", "", None)
    behaviours = write("", (call, {})), write("I connect you."), write("All right.")
    async with talking(make(), [tool], *behaviours) as (talk, endpoint, _, _used):
        assert await reply(talk) == [Say("I connect you."), Transfer("+12025550101") if "tr" in call else EndCall()]
        said = Turn("user", "Where is my order?", 1300, 1500), Turn("agent", "I connect", 1600, 1900, interrupted=True)
        await reply(talk, "No, wait.", (*HISTORY, *said))
    assert results_in(endpoint.bodies[1])[0].startswith(promised)
    assert results_in(endpoint.bodies[2])[0].startswith(lapsed)
