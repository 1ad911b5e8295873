"""Anthropic's messages, and the quirks of those who speak OpenAI's chat completions, on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
import pytest
from aiohttp import web
from pydantic import BaseModel, SecretStr

from call_service.llm import (
    AnthropicDialect,
    LlmAuthError,
    LlmBusyError,
    LlmClient,
    LlmError,
    LlmProtocolError,
    LlmRejectedError,
    LlmSettings,
    LlmTimeoutError,
    LlmUnreachableError,
    OpenAiDialect,
    TextDelta,
    ToolCall,
    Usage,
)
from call_service.voice.brain import LlmBrain
from call_service.voice.brain.prompt import TOOLS
from call_service.voice.ports import AgentProfile, Collected, EndCall, Say
from shared.providers import PROVIDERS
from tests.support.fake_vendors import KEY, FakeVendors, Fault, fake_vendors
from tests.support.sip_peers import until

HELLO = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]


def event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def text(part: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": part})


# https://docs.anthropic.com/en/api/messages-streaming, "Full HTTP stream response" and "with tool use"
START = event(
    "message_start",
    message={
        "id": "msg_01",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": "claude-haiku-4-5",
        "stop_reason": None,
        "usage": {
            "input_tokens": 25,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 5,
            "output_tokens": 1,
        },
    },
)
TEXT_BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""}) + event("ping")
STOP = (
    event("content_block_stop", index=0)
    + event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 15})
    + event("message_stop")
)
TOOL_BLOCK = (
    event(
        "content_block_start",
        index=1,
        content_block={"type": "tool_use", "id": "toolu_1", "name": "collect", "input": {}},
    )
    + event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": ""})
    + event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"field": "na'})
    + event("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": 'me", "value": "Anna"}'})
    + event("content_block_stop", index=1)
)
SAID = [START, TEXT_BLOCK, text("Good "), text("morning."), STOP]


@asynccontextmanager
async def claude(*, patience: float = 20, **state: Any) -> AsyncIterator[tuple[LlmClient, FakeVendors, list[Usage]]]:
    used: list[Usage] = []
    async with fake_vendors(**state) as vendors:
        client = LlmClient(
            LlmSettings(
                base_url=vendors.base_urls["anthropic"],
                model="claude-haiku-4-5",
                api_key=SecretStr(KEY),
                attempts=2,
                first_token_timeout=timedelta(seconds=patience),
                dialect=AnthropicDialect(),
                auth=PROVIDERS["anthropic"].headers_with,
                options={"top_k": 40, "model": "another"},
                on_usage=used.append,
            )
        )
        yield client, vendors, used
        await client.close()


async def test_text_and_tools_are_streamed_and_tokens_counted() -> None:
    async with claude(reply=[START, TEXT_BLOCK, text("Good "), text("morning."), TOOL_BLOCK, STOP]) as (
        client,
        _,
        used,
    ):
        assert [delta async for delta in client.stream(HELLO, tools=TOOLS)] == [
            TextDelta("Good "),
            TextDelta("morning."),
            ToolCall("toolu_1", "collect", {"field": "name", "value": "Anna"}),
        ]
    assert used == [Usage(30, 15)]


async def test_a_request_is_that_of_the_messages_api() -> None:
    said = [
        *HELLO[:1],
        {"role": "assistant", "content": "Bright Dental."},
        {"role": "assistant", "content": "How can I help?"},
        {"role": "user", "content": "I am Anna."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "collect", "arguments": '{"field":"name"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "t1", "content": "Done."},
    ]
    async with claude(reply=SAID) as (client, vendors, _):
        async for _delta in client.stream(said, tools=TOOLS[:1], temperature=1.4):
            pass
    path, body = vendors.requests[0]
    assert path == "/anthropic/messages"
    assert vendors.headers[0]["x-api-key"] == KEY
    assert vendors.headers[0]["anthropic-version"] == "2023-06-01"
    assert body == {
        "model": "claude-haiku-4-5",
        "max_tokens": 1024,
        "system": "Be kind.",
        "stream": True,
        "temperature": 1.0,
        "top_k": 40,
        "tools": [
            {
                "name": "collect",
                "description": "Note a value that the person gave.",
                "input_schema": TOOLS[0]["function"]["parameters"],
            }
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "(The call begins.)"}]},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "Bright Dental."}, {"type": "text", "text": "How can I help?"}],
            },
            {"role": "user", "content": [{"type": "text", "text": "I am Anna."}]},
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "t1", "name": "collect", "input": {"field": "name"}}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Done."}]},
        ],
    }


async def test_the_brain_speaks_collects_and_ends_with_it() -> None:
    ends = event("content_block_start", index=2, content_block={"type": "tool_use", "id": "t2", "name": "end_call"})
    async with claude(reply=[START, TEXT_BLOCK, text("Thank you. Bye!"), TOOL_BLOCK, ends, STOP]) as (client, _, _used):
        conversation = LlmBrain(client).converse(AgentProfile("Anna", "Be kind."))
        outputs = [output async for output in conversation.reply("I am Anna.", ())]
    assert [output.text for output in outputs if isinstance(output, Say)] == ["Thank you.", "Bye!"]
    assert Collected("name", "Anna") in outputs
    assert outputs[-1] == EndCall()


class Day(BaseModel):
    day: str


async def test_json_is_asked_for_in_words() -> None:
    message = {
        "content": [{"type": "text", "text": 'Here: {"day": "Monday"}'}],
        "usage": {"input_tokens": 9, "output_tokens": 4},
    }
    async with claude(reply=[orjson.dumps(message)]) as (client, vendors, used):
        assert await client.complete_json(HELLO, Day) == Day(day="Monday")
    assert len(vendors.requests) == 1
    assert "JSON object" in str(vendors.requests[0][1]["messages"])
    assert used == [Usage(9, 4)]


@pytest.mark.parametrize(
    ("fault", "error", "tries"),
    [
        (Fault.DROP, LlmUnreachableError, 2),
        (Fault.HANG, LlmTimeoutError, 1),
        (Fault.DRIBBLE, LlmTimeoutError, 1),
        (Fault.GARBAGE, LlmUnreachableError, 2),
        (Fault.BUSY, LlmBusyError, 1),
        (Fault.EXPIRED, LlmAuthError, 1),
    ],
)
async def test_a_failing_vendor_is_a_typed_error(fault: Fault, error: type[LlmError], tries: int) -> None:
    patience = 0.5 if fault in {Fault.HANG, Fault.DRIBBLE} else 20
    reply = [START, *[event("ping")] * 20, STOP]
    async with claude(patience=patience, fault=fault, reply=reply) as (client, vendors, _):
        with pytest.raises(error) as failure:
            await asyncio.wait_for(anext(client.stream(HELLO)), 20)
    assert type(failure.value) is error
    assert KEY not in str(failure.value)
    assert len(vendors.requests) == tries


async def test_a_stream_that_is_cut_says_so_after_what_it_said() -> None:
    async with claude(fault=Fault.CUT, reply=[START, TEXT_BLOCK, text("Good "), text("mor"), text("ning."), STOP]) as (
        client,
        _,
        _used,
    ):
        deltas = client.stream(HELLO)
        assert await anext(deltas) == TextDelta("Good ")
        with pytest.raises(LlmUnreachableError):
            await anext(deltas)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (event("error", error={"type": "overloaded_error", "message": "Overloaded"}), LlmBusyError),
        (event("error", error={"type": "authentication_error", "message": KEY}), LlmAuthError),
        (event("error", error={"type": "invalid_request_error", "message": KEY}), LlmRejectedError),
        (b"data: nonsense\n\n", LlmProtocolError),
        (b"data: [1]\n\n", LlmProtocolError),
        (event("content_block_delta", index=0), LlmProtocolError),
    ],
)
async def test_what_goes_wrong_in_the_stream_has_a_type(payload: bytes, error: type[LlmError]) -> None:
    async with claude(reply=[START, payload, STOP]) as (client, _, _used):
        with pytest.raises(error) as failure:
            await anext(client.stream(HELLO))
    assert type(failure.value) is error
    assert KEY not in str(failure.value)


async def test_whoever_stops_listening_closes_the_socket() -> None:
    async with claude(fault=Fault.DRIBBLE, reply=[START + TEXT_BLOCK + text("a"), *[text("a")] * 40, STOP]) as (
        client,
        vendors,
        used,
    ):
        async with aclosing(client.stream(HELLO)) as deltas:
            await anext(deltas)
        await until(lambda: not vendors.open_sockets)
    assert used == [Usage(30, 1)]  # what was read is charged


# ---- OpenAI's dialect and its quirks -----------------------------------------------------------------------------


def chunk(**fields: Any) -> bytes:
    return b"data: " + orjson.dumps(fields) + b"\n\n"


def delta(**fields: Any) -> bytes:
    return chunk(choices=[{"index": 0, "delta": fields, "finish_reason": None}])


DONE = chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
END = b"data: [DONE]\n\n"
CALL = {"id": "call_1", "type": "function", "function": {"name": "end_call", "arguments": "{}"}}
QUIRKS = {
    # The first chunk holds the verdict of the content filter only, the last one of usage has no choices.
    "azure": [
        chunk(choices=[], prompt_filter_results=[{"prompt_index": 0}]),
        delta(role="assistant", content=""),
        delta(content="Hi."),
        DONE,
        chunk(choices=[], usage={"prompt_tokens": 7, "completion_tokens": 2}),
        END,
    ],
    # Usage comes with the last delta as well as under a name of its own.
    "groq": [
        chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}}], x_groq={"id": "req_1"}),
        delta(content="Hi."),
        chunk(
            choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}],
            usage={"prompt_tokens": 7, "completion_tokens": 2},
        ),
        END,
    ],
    # Comments keep the connection alive; null instead of nothing.
    "vllm": [b": ping\n\n", delta(content="Hi.", tool_calls=None, reasoning_content=None), DONE, END],
    # Lines end with CR LF, and nothing says [DONE].
    "llama.cpp": [delta(content="Hi.").replace(b"\n", b"\r\n"), DONE.replace(b"\n", b"\r\n")],
    # A tool call comes whole, after text, without an index.
    "ollama": [delta(content="Hi."), delta(tool_calls=[CALL]), DONE, END],
}


@asynccontextmanager
async def endpoint(base_url: str, **settings: Any) -> AsyncIterator[tuple[LlmClient, list[Usage]]]:
    used: list[Usage] = []
    client = LlmClient(LlmSettings(base_url, "some-model", SecretStr(KEY), on_usage=used.append, **settings))
    yield client, used
    await client.close()


@pytest.mark.parametrize("server", QUIRKS)
async def test_the_quirks_of_each_server_are_understood(server: str) -> None:
    async with (
        fake_vendors(reply=QUIRKS[server]) as vendors,
        endpoint(vendors.base_urls["openai"], dialect=OpenAiDialect(counts_tokens=True)) as (client, used),
    ):
        heard = [delta async for delta in client.stream(HELLO)]
    assert heard == [TextDelta("Hi."), *([ToolCall("call_1", "end_call", {})] if server == "ollama" else [])]
    assert used == ([Usage(7, 2)] if server in {"azure", "groq"} else [])
    assert vendors.requests[0][1]["stream_options"] == {"include_usage": True}


async def test_azure_keeps_its_version_in_the_query_and_its_key_in_a_header_of_its_own() -> None:
    async with fake_vendors(reply=QUIRKS["azure"]) as vendors:
        base_url = f"{vendors.url}/openai/deployments/gpt-4o?api-version=2024-10-21"
        async with endpoint(base_url, auth=PROVIDERS["azure_openai"].headers_with) as (client, _):
            assert await anext(client.stream(HELLO)) == TextDelta("Hi.")
    assert vendors.requests[0][0] == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert vendors.headers[0]["api-key"] == KEY
    assert "Authorization" not in vendors.headers[0]


async def test_a_model_that_takes_no_temperature_is_asked_without_it_from_then_on() -> None:
    asked: list[dict[str, Any]] = []

    async def reasoning_model(request: web.Request) -> web.Response:
        asked.append(orjson.loads(await request.read()))
        if "temperature" in asked[-1]:
            problem = {"message": "Unsupported value", "param": "temperature", "code": "unsupported_value"}
            return web.json_response({"error": problem}, status=400)
        return web.Response(body=b"".join(QUIRKS["vllm"]), content_type="text/event-stream")

    app = web.Application()
    app.router.add_post("/chat/completions", reasoning_model)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}") as (client, _):
            for _ in range(2):
                assert [one async for one in client.stream(HELLO, temperature=0.4)] == [TextDelta("Hi.")]
    finally:
        await runner.cleanup()
    assert ["temperature" in body for body in asked] == [True, False, False]
