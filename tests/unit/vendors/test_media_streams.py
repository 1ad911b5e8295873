"""Twilio's Media Streams: what a bot is sent, what it may send, what is too much."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import orjson
import pytest

from call_service.carriers.g711 import decode
from call_service.carriers.port import FRAME_BYTES
from call_service.vendors.connection import Connection
from call_service.vendors.errors import VendorBusyError, VendorProtocolError
from call_service.vendors.media_streams.line import MAX_MARKS, MAX_WAITING, MediaStreamLine
from call_service.vendors.media_streams.messages import MAX_MARK, Clear, Mark, Media, Stream, Writer, read, stream_of
from call_service.vendors.usage import Meter
from call_service.voice.ports import EngineError
from tests.support.ended_calls import ended_call

STREAM = Stream("0198-ab", "project", {"name": "Anna"})
SOUND = b64encode(b"\xff\x00\x80").decode()


@dataclass
class Heard:
    ends: list[EngineError | None] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)

    def on_sound(self, pcm: bytes) -> None:
        raise AssertionError("no sound")

    def on_clear(self) -> None:
        raise AssertionError("no clear")

    def on_mark(self, name: str) -> None:
        self.marks.append(name)

    def on_end(self, error: EngineError | None) -> None:
        self.ends.append(error)


class Unreachable:
    """A `Connection` that is never made."""

    meter = Meter("pipecat", "s2s")

    @asynccontextmanager
    async def websocket(self, path: str, *, heartbeat: timedelta) -> AsyncIterator[None]:
        await asyncio.Event().wait()
        yield


@asynccontextmanager
async def beginning() -> AsyncIterator[tuple[MediaStreamLine, Heard]]:
    heard, line = Heard(), MediaStreamLine(cast("Connection", Unreachable()), STREAM)
    line.begin(heard)
    await asyncio.sleep(0)
    yield line, heard
    async with asyncio.timeout(1):
        line.abandon()
        await line.close()


def test_messages_are_numbered_and_name_the_stream() -> None:
    writer = Writer(STREAM)
    frame = bytes(FRAME_BYTES)
    texts = [writer.start(), writer.media(frame, 0), writer.media(frame, 20), writer.dtmf("#"), writer.mark("m")]
    messages = [orjson.loads(text) for text in [*texts, writer.stop()]]
    assert [message["event"] for message in messages] == ["start", "media", "media", "dtmf", "mark", "stop"]
    assert [message["sequenceNumber"] for message in messages] == ["1", "2", "3", "4", "5", "6"]
    assert {message["streamSid"] for message in messages} == {"MZ0198ab"}
    assert messages[0]["start"]["streamSid"] == "MZ0198ab"
    assert [(one["media"]["chunk"], one["media"]["timestamp"]) for one in messages[1:3]] == [("1", "0"), ("2", "20")]
    assert messages[2]["media"]["payload"] == b64encode(b"\xff" * 160).decode()
    assert messages[5]["stop"] == {"accountSid": "project", "callSid": "0198-ab"}


def test_what_is_known_of_the_call_is_not_overwritten() -> None:
    call = ended_call(dynamic_variables={"name": "Anna", "call_id": "mine", "tier": "gold"})
    made = stream_of(call, {"tier": "none", "persona": "Maya", "patience_ms": 100, "is_new": True, "speed": 2})
    assert made.parameters == {
        "tier": "gold",
        "persona": "Maya",
        "is_new": "true",
        "speed": "2",
        "name": "Anna",
        "call_id": call.id,
        "agent_id": call.agent_id,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "direction": call.direction,
    }


@pytest.mark.parametrize(
    ("message", "meaning"),
    [
        ({"event": "media", "media": {"payload": SOUND, "track": "outbound"}}, Media(decode(b"\xff\x00\x80"))),
        ({"event": "media", "media": {"payload": ""}}, Media(b"")),
        ({"event": "mark", "mark": {"name": "x"}}, Mark("x")),
        ({"event": "clear", "streamSid": "MZ1"}, Clear()),
        ({"event": "something-else"}, None),
        ({"label": "rtvi-ai", "type": "bot-ready"}, None),
    ],
)
def test_what_a_bot_may_send(message: dict[str, Any], meaning: object) -> None:
    assert read(orjson.dumps(message).decode()) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "It works!",
        "",
        "[]",
        "7",
        '{"event":"media"}',
        '{"event":"media","media":{"payload":7}}',
        '{"event":"media","media":{"payload":"*"}}',
        '{"event":"media","media":{"payload":"AAA"}}',
        '{"event":"media","media":"AAAA"}',
        '{"event":"mark","mark":{"name":7}}',
        '{"event":"mark","mark":{"name":"%s"}}' % ("x" * (MAX_MARK + 1)),
    ],
    ids=range(11),
)
def test_what_it_may_not(text: str) -> None:
    with pytest.raises(VendorProtocolError):
        read(text)


async def test_a_bot_that_takes_nothing_for_five_seconds_is_given_up() -> None:
    async with beginning() as (line, heard):
        for _ in range(MAX_WAITING - 1):
            line.hear(bytes(FRAME_BYTES))
        assert heard.ends == []
        line.hear(bytes(FRAME_BYTES))
        line.hear(bytes(FRAME_BYTES))
    [error] = heard.ends
    assert isinstance(error, VendorBusyError)


async def test_marks_that_wait_are_bounded() -> None:
    text = '{"event":"mark","mark":{"name":"x"}}'
    async with beginning() as (line, heard):
        for _ in range(MAX_MARKS):
            line.take(text)
        line.played("x")
        line.take(text)
        with pytest.raises(VendorProtocolError):
            line.take(text)
    assert len(heard.marks) == MAX_MARKS + 1


async def test_one_that_was_given_up_is_heard_no_more() -> None:
    async with beginning() as (line, heard):
        line.abandon()
        line.take('{"event":"clear"}')
        line.hear(bytes(FRAME_BYTES))
    assert heard.ends == []
