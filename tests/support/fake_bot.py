"""A bot on loopback, as one that answers Twilio's Media Streams, with every way in which it may fail.

What it is sent is checked by the rules of https://www.twilio.com/docs/voice/media-streams/websocket-messages.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import aiohttp
import orjson
from aiohttp import WSMsgType, web

from call_service.carriers.g711 import decode, encode
from call_service.carriers.testing import LOUD_FRAME
from tests.support.sip_peers import until

PIECE_MS = 200
MEGABYTE = 1_000_000


class BotFault(StrEnum):
    """`refuse`, `drop`, `expired key` and `mute` are there from the connection on; who is frozen answers no ping."""

    NONE = "none"
    REFUSE = "refuse"
    DROP = "drop"
    EXPIRED = "expired key"
    MUTE = "mute"
    FROZEN = "frozen"
    HANG = "hang"
    DRIBBLE = "dribble"
    CUT = "cut"
    CRASH = "crash"
    GARBAGE = "garbage"
    BINARY = "binary"
    OVERSIZED = "oversized"


@dataclass(slots=True)
class BotStream:
    """One connection, and what it was sent."""

    socket: web.WebSocketResponse
    abort: Callable[[], None]
    messages: list[dict[str, Any]] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)
    complaints: list[str] = field(default_factory=list)
    close_code: int | None = None
    _number: int = 0

    @property
    def start(self) -> dict[str, Any]:
        return next(message["start"] for message in self.messages if message["event"] == "start")

    @property
    def events(self) -> list[str]:
        """Without sound."""
        return [message["event"] for message in self.messages if message["event"] != "media"]

    async def send(self, event: str, **content: Any) -> None:
        message = {"event": event, "streamSid": self.start["streamSid"], **content}
        with suppress(ConnectionError):
            await self.socket.send_json(message)

    async def say(self, ms: int) -> None:
        """A loud sound, at once."""
        await self.play(LOUD_FRAME * (ms // 20))

    async def play(self, pcm: bytes) -> None:
        """At 8 kHz, at once."""
        await self.send("media", media={"payload": b64encode(encode(pcm)).decode()})

    def take(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        event = message["event"]
        if event == "connected":
            if len(self.messages) > 1:
                self.complaints.append("connected late")
            return
        self._number += 1
        if message["sequenceNumber"] != str(self._number):
            self.complaints.append(f"number {message['sequenceNumber']} instead of {self._number}")
        if (event == "start") != (self._number == 1) or message["streamSid"] != self.start["streamSid"]:
            self.complaints.append(f"{event} at {self._number}")
        if event == "media":
            self._take_sound(message["media"])

    def _take_sound(self, media: dict[str, str]) -> None:
        sound = decode(b64decode(media["payload"]))
        if media["timestamp"] != str(len(self.heard) // 16) or media["track"] != "inbound":
            self.complaints.append(f"sound at {media['timestamp']}")
        self.heard += sound


Talk = Callable[[BotStream], Awaitable[None]]


@dataclass(slots=True)
class FakeBot:
    """`talk` is what it does from the `start` on; when it returns, the bot hangs up."""

    talk: Talk
    fault: BotFault = BotFault.NONE
    streams: list[BotStream] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    open_sockets: int = 0
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        assert request.transport
        match self.fault:
            case BotFault.REFUSE:
                return web.Response(status=403)
            case BotFault.EXPIRED:
                return web.Response(status=401)
            case BotFault.DROP:
                request.transport.abort()
                return web.Response()
            case BotFault.MUTE:
                await asyncio.sleep(30)
        socket = web.WebSocketResponse(timeout=0.5, autoping=self.fault is not BotFault.FROZEN)
        await socket.prepare(request)
        stream = BotStream(socket, request.transport.abort)
        self.streams.append(stream)
        self.open_sockets += 1
        try:
            await self._converse(stream)
        finally:
            self.open_sockets -= 1
            stream.close_code = socket.close_code
        return socket

    async def _converse(self, stream: BotStream) -> None:
        talking: asyncio.Task[None] | None = None
        try:
            async for message in stream.socket:
                if message.type is WSMsgType.PING:
                    continue
                if message.type is not WSMsgType.TEXT:
                    stream.complaints.append(f"a message of {message.type}")
                    continue
                stream.take(orjson.loads(message.data))
                if stream.messages[-1]["event"] == "start":
                    talking = asyncio.create_task(self._talk(stream))
        finally:
            if talking:
                talking.cancel()
                await asyncio.wait({talking})

    async def _talk(self, stream: BotStream) -> None:
        await self.talk(stream)
        await stream.socket.close()

    async def speak(self, stream: BotStream, ms: int) -> None:
        """In pieces, twice as fast as it plays; or as the fault has it."""
        for said_ms in range(0, ms, PIECE_MS):
            match self.fault:
                case BotFault.HANG:
                    await asyncio.sleep(60)
                case BotFault.GARBAGE:
                    await stream.socket.send_str("It works!")
                case BotFault.BINARY:
                    await stream.socket.send_bytes(b"RIFF")
                case BotFault.OVERSIZED:
                    await stream.send("media", media={"payload": "A" * 2 * MEGABYTE})
                case BotFault.CRASH:
                    await stream.socket.close(code=aiohttp.WSCloseCode.INTERNAL_ERROR)
                case BotFault.CUT if said_ms * 2 >= ms:
                    stream.abort()
            await stream.say(PIECE_MS)
            await asyncio.sleep(0.9 if self.fault is BotFault.DRIBBLE else PIECE_MS / 2000)


@asynccontextmanager
async def fake_bot(talk: Talk, fault: BotFault = BotFault.NONE) -> AsyncIterator[FakeBot]:
    bot = FakeBot(talk, fault)
    app = web.Application()
    app.add_routes([web.get("/ws", bot.answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    bot.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws"
    try:
        yield bot
        await until(lambda: bot.open_sockets == 0)
    finally:
        await runner.cleanup()
    assert [complaint for stream in bot.streams for complaint in stream.complaints] == []
