"""The client against a real loopback endpoint: the protocol, and every way in which it fails."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from call_service.llm import (
    LlmAuthError,
    LlmBusyError,
    LlmClient,
    LlmError,
    LlmProtocolError,
    LlmRejectedError,
    LlmSettings,
    LlmTimeoutError,
    LlmUnreachableError,
    TextDelta,
    ToolCall,
)
from tests.support.fake_chat_endpoint import (
    SECRET,
    STOP,
    Behaviour,
    FakeEndpoint,
    answers,
    call_chunk,
    drops,
    fails,
    hangs,
    running,
    says,
    streams,
    text_chunk,
)

HELLO = [{"role": "user", "content": "Hello"}]


def settings(base_url: str, **changes: Any) -> LlmSettings:
    return LlmSettings(base_url, "some-model", SecretStr(SECRET), **changes)


@asynccontextmanager
async def client_of(*behaviours: Behaviour, **changes: Any) -> AsyncIterator[tuple[LlmClient, FakeEndpoint]]:
    async with running(*behaviours) as endpoint:
        patience = {"first_token_timeout": timedelta(seconds=0.5 if hangs in behaviours else 20)}
        client = LlmClient(settings(endpoint.base_url, **(patience | changes)))
        try:
            yield client, endpoint
        finally:
            await client.close()


async def said(client: LlmClient) -> str:
    return "".join([delta.text async for delta in client.stream(HELLO) if isinstance(delta, TextDelta)])


async def test_text_is_streamed_as_it_is_written() -> None:
    async with client_of(says("Good ", "morning", ".")) as (client, endpoint):
        assert [delta async for delta in client.stream(HELLO, temperature=0.3)] == [
            TextDelta("Good "),
            TextDelta("morning"),
            TextDelta("."),
        ]
    assert endpoint.keys == [f"Bearer {SECRET}"]
    assert endpoint.bodies == [{"model": "some-model", "messages": HELLO, "stream": True, "temperature": 0.3}]


async def test_tool_calls_are_put_together_from_pieces() -> None:
    parts = (
        call_chunk(0, name="collect", arguments='{"field":"na'),
        call_chunk(0, arguments='me","value":"Anna"}'),
        call_chunk(1, name="end_call"),
        STOP,
    )
    async with client_of(streams(text_chunk("Bye."), *parts)) as (client, _):
        assert [delta async for delta in client.stream(HELLO)] == [
            TextDelta("Bye."),
            ToolCall("call_0", "collect", {"field": "name", "value": "Anna"}),
            ToolCall("call_1", "end_call", {}),
        ]


async def test_a_stream_that_dribbles_byte_by_byte_is_read() -> None:
    whole = text_chunk("Grüß ") + b": keep-alive\n\n" + text_chunk("Gott") + STOP
    async with client_of(streams(*(bytes([byte]) for byte in whole))) as (client, _):
        assert await said(client) == "Grüß Gott"


@pytest.mark.parametrize("failing", [fails(500), fails(503), fails(429), fails(429, retry_after="0.05"), drops])
async def test_what_may_pass_is_tried_again_before_the_first_token(failing: Behaviour) -> None:
    async with client_of(failing, says("Fine.")) as (client, endpoint):
        assert await said(client) == "Fine."
    assert len(endpoint.bodies) == 2


@pytest.mark.parametrize(
    ("behaviour", "error", "tries"),
    [
        (fails(401), LlmAuthError, 1),
        (fails(403), LlmAuthError, 1),
        (fails(400), LlmRejectedError, 1),
        (fails(404), LlmRejectedError, 1),
        (fails(500), LlmBusyError, 3),
        (fails(429, retry_after="60"), LlmBusyError, 1),
        (drops, LlmUnreachableError, 3),
        (hangs, LlmTimeoutError, 1),
        (streams(b"data: nonsense\n\n"), LlmProtocolError, 1),
        (streams(b'data: {"object":"other"}\n\n'), LlmProtocolError, 1),
        (streams(b'data: {"choices":["x"]}\n\n'), LlmProtocolError, 1),
        (streams(b'data: {"error":{"message":"overloaded"}}\n\n'), LlmBusyError, 3),
        (streams(b"data: \xff\xfe\n\n"), LlmProtocolError, 1),
        (streams(text_chunk("a" * 5000), STOP), LlmProtocolError, 1),
        (streams(b"<html>hello</html>"), LlmUnreachableError, 3),
    ],
)
async def test_failures_have_types_and_limits(behaviour: Behaviour, error: type[LlmError], tries: int) -> None:
    async with client_of(behaviour, max_response_bytes=4000) as (client, endpoint):
        with pytest.raises(error) as failure:
            await said(client)
    assert type(failure.value) is error
    assert len(endpoint.bodies) == tries


async def test_nobody_listening_is_unreachable() -> None:
    async with running(says("x")) as endpoint:
        url = endpoint.base_url
    client = LlmClient(settings(url, attempts=2))
    with pytest.raises(LlmUnreachableError):
        await said(client)
    await client.close()


async def test_a_cut_in_the_middle_is_an_error_and_not_tried_again() -> None:
    heard: list[str] = []
    async with client_of(streams(text_chunk("Good "), pause_seconds=0.05, cut=True)) as (client, endpoint):
        with pytest.raises(LlmUnreachableError):
            heard.extend([delta.text async for delta in _texts(client, heard)])
    assert heard == ["Good "]
    assert len(endpoint.bodies) == 1


async def test_an_end_without_a_reason_is_a_cut() -> None:
    async with client_of(streams(text_chunk("Good "))) as (client, _):
        with pytest.raises(LlmUnreachableError, match="cut"):
            await said(client)


async def test_the_total_time_is_bounded_while_tokens_dribble() -> None:
    dribble = streams(*[text_chunk("x")] * 300, pause_seconds=0.1)
    began = time.monotonic()
    async with client_of(dribble, total_timeout=timedelta(seconds=0.6)) as (client, _):
        with pytest.raises(LlmTimeoutError):
            await said(client)
    assert time.monotonic() - began < 15


async def test_closing_the_stream_early_frees_the_connection() -> None:
    async with client_of(streams(*[text_chunk("x")] * 50, pause_seconds=0.05)) as (client, _):
        stream = client.stream(HELLO)
        assert await anext(stream) == TextDelta("x")
        await stream.aclose()
        assert client._session
        connector = client._session.connector
        assert connector
        assert not connector._acquired


@pytest.mark.parametrize("behaviour", [fails(401), fails(400), fails(500), drops])
async def test_no_secret_in_errors_or_logs(behaviour: Behaviour, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with client_of(behaviour, attempts=2) as (client, _):
            with pytest.raises(LlmError) as failure:
                await said(client)
            assert SECRET not in repr(client._settings)
    assert SECRET not in f"{failure.value}{failure.value!r}{caplog.text}"


class Verdict(BaseModel):
    good: bool
    score: int


@pytest.mark.parametrize(
    "content", ['{"good": true, "score": 3}', 'Here it is:\n```json\n{"good": true, "score": 3}\n```\nBye']
)
async def test_json_is_asked_for_by_schema_and_parsed(content: str) -> None:
    async with client_of(answers(content)) as (client, endpoint):
        assert await client.complete_json(HELLO, Verdict) == Verdict(good=True, score=3)
    schema = endpoint.bodies[0]["response_format"]["json_schema"]
    assert schema == {"name": "Verdict", "schema": Verdict.model_json_schema()}


async def test_an_endpoint_without_response_format_is_asked_in_words() -> None:
    async with client_of(fails(400), answers('{"good": false, "score": 1}')) as (client, endpoint):
        assert await client.complete_json(HELLO, Verdict) == Verdict(good=False, score=1)
    assert "response_format" not in endpoint.bodies[1]
    assert '"score"' in endpoint.bodies[1]["messages"][-1]["content"]


@pytest.mark.parametrize("content", ["no json", "{}", '{"good": "perhaps", "score": 1}', "[]", ""])
async def test_json_that_does_not_fit_is_refused_without_quoting_it(content: str) -> None:
    async with client_of(answers(content)) as (client, _):
        with pytest.raises(LlmProtocolError) as failure:
            await client.complete_json(HELLO, Verdict)
    assert "perhaps" not in str(failure.value)


async def _texts(client: LlmClient, heard: list[str]) -> AsyncIterator[TextDelta]:
    """The text deltas; each is noted in `heard` before the stream goes on."""
    async for delta in client.stream(HELLO):
        assert isinstance(delta, TextDelta)
        heard.append(delta.text)
        yield delta
