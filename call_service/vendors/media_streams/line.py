"""The connection between one call and a bot: a WebSocket on which we are what Twilio is with its Media Streams.

It is opened when the call was answered, as Twilio does: a bot may start, and charge for, a session with each of them.
"""

import asyncio
from datetime import timedelta

import aiohttp
import structlog

from call_service.carriers.port import FRAME_MS
from call_service.vendors.connection import Connection, WebSocket
from call_service.vendors.errors import VendorBusyError, VendorError, VendorProtocolError, VendorUnreachableError
from call_service.vendors.media_streams.messages import CONNECTED, Clear, Mark, Media, Stream, Writer, read
from call_service.voice.bots import BotListener

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

# Frames of five seconds: a bot that takes none for so long does not hear the callee any more.
MAX_WAITING = 250
MAX_MARKS = 100
# A bot whose process hangs answers no ping; half of this passes until that is noticed.
HEARTBEAT = timedelta(seconds=4)
GOODBYE_SECONDS = 1.0
CLOSE_SECONDS = 2.0
# RFC 6455 section 7.4.1: a normal closure; 0 is a close frame without a code.
_HANGS_UP = frozenset({0, aiohttp.WSCloseCode.OK})


class MediaStreamLine:
    """A `Bot`. `close` says goodbye."""

    def __init__(self, connection: Connection, stream: Stream) -> None:
        self._connection = connection
        self._writer = Writer(stream)
        self._to_send: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING)  # None: nothing comes after this
        self._task: asyncio.Task[None] | None = None
        self._listener: BotListener | None = None
        self._began_at = 0.0
        self._heard_ms = 0
        self._marks = 0  # that were not reached yet
        self._has_sounded = False
        self._has_ended = False

    def begin(self, listener: BotListener) -> None:
        """The call was answered: connect. What is heard meanwhile waits."""
        self._listener = listener
        self._began_at = asyncio.get_running_loop().time()
        self._send(self._writer.start())
        self._task = asyncio.create_task(self._run())

    def hear(self, frame: bytes) -> None:
        """20 ms of the callee."""
        if not self._has_ended:
            self._send(self._writer.media(frame, self._heard_ms))
            self._heard_ms += FRAME_MS

    def press(self, digit: str) -> None:
        """The callee pressed a key."""
        self._send(self._writer.dtmf(digit))

    def played(self, mark: str) -> None:
        """A mark was reached."""
        self._marks -= 1
        self._send(self._writer.mark(mark))

    def abandon(self) -> None:
        """Nothing more is heard of it."""
        self._has_ended, self._listener = True, None
        if self._task:
            self._task.cancel()

    async def close(self) -> None:
        """The call is over."""
        if self._heard_ms:
            self._connection.meter.count("seconds", self._heard_ms / 1000)
            self._heard_ms = 0
        if not self._task:
            return
        if not self._has_ended and self._listener and not self._to_send.full():
            self._listener = None
            self._send(self._writer.stop())
        if not self._to_send.full():
            self._to_send.put_nowait(None)
            await asyncio.wait({self._task}, timeout=GOODBYE_SECONDS)
        self.abandon()
        await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)

    def _send(self, message: str) -> None:
        if self._has_ended:
            return
        try:
            self._to_send.put_nowait(message)
        except asyncio.QueueFull:
            self._end(VendorBusyError("s2s", "it does not keep up with the call"))
            if self._task:
                self._task.cancel()

    # ---- the connection ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with self._connection.websocket("", heartbeat=HEARTBEAT) as socket:
                await socket.send_str(CONNECTED)
                await self._converse(socket)
        except VendorError as error:
            self._end(error)
        except Exception as error:
            log.exception("bot_failed")  # the call goes on without it
            self._end(VendorProtocolError("s2s", type(error).__name__))
        else:
            self._end(None)

    async def _converse(self, socket: WebSocket) -> None:
        """Until either side has hung up. Raises VendorError."""
        both = {asyncio.create_task(self._send_all(socket)), asyncio.create_task(self._receive_all(socket))}
        try:
            done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)

    async def _send_all(self, socket: WebSocket) -> None:
        while (message := await self._to_send.get()) is not None:
            try:
                await socket.send_str(message)
            except ConnectionError:
                await asyncio.Event().wait()  # the receiving side says what became of the connection

    async def _receive_all(self, socket: WebSocket) -> None:
        while True:
            message = await socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self.take(message.data)
                case aiohttp.WSMsgType.CLOSE if message.data in _HANGS_UP:
                    return
                case aiohttp.WSMsgType.BINARY:
                    raise VendorProtocolError("s2s", "a binary message")
                case aiohttp.WSMsgType.CLOSE:
                    raise VendorUnreachableError("s2s", f"closed with {message.data}")
                case _:
                    raise VendorUnreachableError("s2s", f"broke with {socket.close_code}")

    def take(self, text: str) -> None:
        """A message of the bot. Raises VendorProtocolError."""
        message = read(text)
        if not self._listener:
            return
        match message:
            case Media(pcm):
                self._notice_sound()
                self._listener.on_sound(pcm)
            case Mark(name):
                self._marks += 1
                if self._marks > MAX_MARKS:
                    raise VendorProtocolError("s2s", "too many marks")
                self._listener.on_mark(name)
            case Clear():
                self._listener.on_clear()

    def _notice_sound(self) -> None:
        if not self._has_sounded:
            self._has_sounded = True
            self._connection.meter.first_byte(asyncio.get_running_loop().time() - self._began_at)

    def _end(self, error: VendorError | None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._listener:
            self._listener.on_end(error)
