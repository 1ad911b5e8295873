"""Recognition over one WebSocket for a whole call: audio goes out as it comes in, text is asked for after a turn.

Vendors that stream want the pace of the call. Their idea of a turn is not ours: whoever cuts the utterances
(`voice.listening`) asks for the text, and the vendor is told to write down at once what it has.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import orjson

from call_service.carriers.g711 import encode
from call_service.carriers.port import BYTES_PER_MS, SAMPLE_RATE
from call_service.vendors.connection import Connection, WebSocket
from call_service.vendors.errors import (
    VendorBusyError,
    VendorError,
    VendorProtocolError,
    VendorTimeoutError,
    VendorUnreachableError,
)
from call_service.vendors.recognition.transcript import Heard, Transcript

PIECE_BYTES = 400 * BYTES_PER_MS
MULAW_SILENCE = b"\xff"
# Ten seconds of audio may wait for a vendor that is slow to connect or to read; then the connection is given up.
MAX_WAITING_FRAMES = 500
# Deepgram closes a connection that is silent for ten seconds.
KEEP_ALIVE_SECONDS = 4.0
RECONNECT_SECONDS = 3.0
# A vendor need not answer when it has nothing left to write down. Both answer within 0.3-0.4 s at p95, and whoever
# takes over from a late one does so after 0.8 s.
SETTLED_SECONDS = 0.25
UNSETTLED_SECONDS = 0.7
# Noise that was taken for an utterance is short; so much audio without a word from the vendor is its failure.
SPEECH_MS = 1500
NEVER = float("inf")


class Wire(Protocol):
    """One vendor's protocol. `chunk_ms` is the size of its audio messages, in mu-law at 8 kHz."""

    path: str
    chunk_ms: int
    flush: str
    farewell: str
    keep_alive: str

    def read(self, message: Mapping[str, Any]) -> Heard | VendorError | None:
        """What a message says about speech; None for anything else."""

    def closed(self, code: int) -> VendorError:
        """Why the vendor closed the connection."""


class StreamingRecognizer:
    """The `Recognizer` of one call. `hear` gets all its frames; `close` ends the connection.

    A broken connection fails the utterance that needed it, and is opened again for the frames that follow.
    """

    def __init__(self, connection: Connection, wire: Wire) -> None:
        self._connection = connection
        self._wire = wire
        self._frames: asyncio.Queue[bytes | str] = asyncio.Queue(MAX_WAITING_FRAMES)
        self._task: asyncio.Task[None] | None = None
        self._transcript = Transcript()
        self._broken: VendorError | None = None
        self._may_open_at = 0.0
        self._heard_ms = 0
        self._origin_ms = 0
        self._position_ms = 0
        self._flushed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._is_live = False
        self._fed = b""

    @property
    def is_busy(self) -> bool:
        """Never: every call has a connection of its own."""
        return False

    def hear(self, frame: bytes) -> None:
        """PCM of the call as it comes, 20 ms at a time."""
        self._is_live = True
        self._feed(frame)

    def _feed(self, frame: bytes) -> None:
        is_open = self._is_open()
        self._heard_ms += len(frame) // BYTES_PER_MS
        if not is_open:
            return
        self._put(encode(frame))

    def _put(self, mulaw: bytes) -> None:
        self._position_ms += len(mulaw) * 1000 // SAMPLE_RATE
        try:
            self._frames.put_nowait(mulaw)
        except asyncio.QueueFull:
            self._fail(VendorBusyError("stt", "it does not keep up with the call"))
            if self._task:
                self._task.cancel()

    async def recognize(self, pcm: bytes) -> str:
        """Text of the utterance whose audio is `pcm`; where `hear` is not used, as of a fallback, it is sent now.

        Raises:
            VendorError: also when the connection broke during the utterance.
        """
        async with self._one_at_a_time:  # the words of the next utterance would be taken for this one's
            return await self._recognize(pcm)

    async def _recognize(self, pcm: bytes) -> str:
        if not self._is_live:
            self._catch_up(pcm)
        duration_ms = len(pcm) // BYTES_PER_MS
        self._require_open(self._heard_ms - duration_ms)
        missing_ms = -self._position_ms % self._wire.chunk_ms
        self._put(MULAW_SILENCE * (missing_ms * SAMPLE_RATE // 1000))
        self._transcript.ask(pcm, duration_ms, self._position_ms)
        asked_at = _now()
        self._flushed.clear()
        with suppress(asyncio.QueueFull):
            self._frames.put_nowait(self._wire.flush)
        await self._settle(asked_at, duration_ms)
        self._connection.meter.first_byte(_now() - asked_at)
        return self._transcript.text

    async def close(self) -> None:
        """Say goodbye to the vendor, which charges until then."""
        self._may_open_at = NEVER
        if self._task:
            with suppress(asyncio.QueueFull):
                self._frames.put_nowait(self._wire.farewell)
            await asyncio.wait({self._task}, timeout=1.0)
            self._task.cancel()
            await asyncio.wait({self._task})

    def _catch_up(self, pcm: bytes) -> None:
        self._is_open()
        known = len(self._fed) if pcm.startswith(self._fed) else 0
        for start in range(known, len(pcm), PIECE_BYTES):
            self._feed(pcm[start : start + PIECE_BYTES])
        self._fed = pcm

    # ---- one utterance -----------------------------------------------------------------------------------------

    def _require_open(self, since_ms: int) -> None:
        """Raises VendorError unless all audio from `since_ms` on went over the present connection."""
        if self._broken:
            raise self._broken
        if not self._is_open() or self._origin_ms > since_ms:
            raise VendorUnreachableError("stt", "not connected during the utterance")

    async def _settle(self, asked_at: float, duration_ms: int) -> None:
        """Wait until everything is written down, or until nothing more is to be expected."""
        while not self._flushed.is_set():
            waited = _now() - asked_at
            if waited >= (UNSETTLED_SECONDS if self._transcript.is_pending else SETTLED_SECONDS):
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLED_SECONDS / 5):
                    await self._flushed.wait()
        if self._broken:
            raise self._broken
        if not self._transcript.messages and duration_ms >= SPEECH_MS:
            error = VendorTimeoutError("stt", "no text came")
            self._connection.meter.failed(error)
            raise error

    # ---- the connection ----------------------------------------------------------------------------------------

    def _is_open(self) -> bool:
        """Is there a connection, or one on its way? Opens one when it is time to."""
        if self._task and not self._task.done():
            return True
        if _now() < self._may_open_at:
            return False
        self._broken = None
        self._frames = asyncio.Queue(MAX_WAITING_FRAMES)
        self._transcript, self._fed = Transcript(), b""
        self._origin_ms, self._position_ms = self._heard_ms, 0
        self._task = asyncio.create_task(self._run())
        return True

    def _fail(self, error: VendorError) -> None:
        self._broken = error
        self._may_open_at = _now() + RECONNECT_SECONDS if error.retryable else NEVER
        self._flushed.set()

    async def _run(self) -> None:
        try:
            async with self._connection.websocket(self._wire.path) as socket:
                sender = asyncio.create_task(self._send(socket))
                try:
                    await self._receive(socket)
                finally:
                    sender.cancel()
                    await asyncio.wait({sender})
        except VendorError as error:
            self._fail(error)

    async def _send(self, socket: WebSocket) -> None:
        size = self._wire.chunk_ms * SAMPLE_RATE // 1000
        chunk = b""
        with suppress(ConnectionError):  # the receiving side says what became of the connection
            while True:
                part = await self._next_part()
                if isinstance(part, str):
                    await socket.send_str(part)
                    continue
                chunk += part
                if len(chunk) >= size:
                    await socket.send_bytes(chunk)
                    self._connection.meter.count("seconds", len(chunk) / SAMPLE_RATE)
                    chunk = b""

    async def _next_part(self) -> bytes | str:
        try:
            async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                return await self._frames.get()
        except TimeoutError:
            return self._wire.keep_alive

    async def _receive(self, socket: WebSocket) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._read(message.data)
        if self._may_open_at != NEVER:
            raise self._wire.closed(socket.close_code or 0)

    def _read(self, text: str) -> None:
        try:
            heard = self._wire.read(orjson.loads(text))
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise VendorProtocolError("stt", type(error).__name__) from error
        if isinstance(heard, VendorError):
            raise heard
        if heard:
            self._transcript.add(heard)
            if self._transcript.is_answered:
                self._flushed.set()


def _now() -> float:
    return asyncio.get_running_loop().time()
