"""One call's connection to OpenAI's Realtime API: a `SpeechModel`."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

import aiohttp
import orjson

from call_service.llm.messages import ToolCall
from call_service.tools.rounds import in_rounds
from call_service.tools.toolbox import Toolbox
from call_service.vendors.connection import Connection, WebSocket
from call_service.vendors.errors import VendorBusyError, VendorError, VendorProtocolError, VendorUnreachableError
from call_service.vendors.realtime import messages
from call_service.vendors.realtime.answer import Answer
from call_service.vendors.realtime.calls import Calls
from call_service.vendors.realtime.messages import Event
from call_service.voice.brain.prompt import command_of
from call_service.voice.direct import Told
from call_service.voice.ports import AgentProfile, BrainOutput, Spoken, Turn

MAX_WAITING = 1_000
# A new answer may not be asked for before the one that was cancelled has ended.
CANCEL_SECONDS = 1.0
KNOWN_UTTERANCES = 4
CLOSE_SECONDS = 2.0


class RealtimeLine:
    """`open` connects, `begin` says who the model is to be, `close` hangs up."""

    def __init__(self, connection: Connection, model: str, voice: str, options: Mapping[str, Any]) -> None:
        self._connection = connection
        self._model = model
        self._voice = voice
        self._options = options
        self._to_send: asyncio.Queue[Event] = asyncio.Queue(MAX_WAITING)
        self._task: asyncio.Task[None] | None = None
        self._broken: VendorError | None = None
        self._answer: Answer | None = None
        self._utterances: deque[tuple[bytes, asyncio.Future[str]]] = deque(maxlen=KNOWN_UTTERANCES)
        self._uncommitted: deque[asyncio.Future[str]] = deque()
        self._transcribing: dict[str, asyncio.Future[str]] = {}
        self._calls = Calls(Toolbox(), self._send)

    @property
    def is_open(self) -> bool:
        """Is there a connection, or one on its way?"""
        return self._task is not None and self._broken is None

    def open(self) -> None:
        """Connect, so that the model is there once somebody answers; it costs nothing until it hears."""
        self._task = asyncio.create_task(self._run())

    def begin(self, profile: AgentProfile, tools: Toolbox | None = None) -> None:
        """The call was answered."""
        tools = tools or Toolbox()
        self._calls = Calls(tools, self._send)
        self._send(messages.session(profile, self._voice, self._options, tools))

    def tell(self, told: Told) -> None:
        """Add to the conversation."""
        self._send(messages.item(told))

    async def transcribe(self, pcm: bytes) -> str:
        """Text of an utterance. Raises VendorError."""
        return await asyncio.shield(self._hear(pcm))

    async def respond(self, heard: bytes | None = None, anchor: Turn | None = None) -> AsyncGenerator[BrainOutput]:
        """Sound as it comes, what its tools make of it, values, and the end of the call last. Raises VendorError."""
        self._calls.tell_late()
        if heard is not None:
            self._hear(heard)
        try:
            async with aclosing(in_rounds(self._round, lambda calls: self._calls.use(calls, anchor))) as outputs:
                async for output in outputs:
                    yield output
        finally:
            self._calls.tell()

    async def _round(self, calls: list[ToolCall], is_last: bool) -> AsyncGenerator[BrainOutput]:
        self._calls.tell()
        answer = await self._ask(words_only=is_last)
        try:
            async with aclosing(answer.parts()) as parts:
                async for part in parts:
                    if isinstance(part, Spoken):
                        yield part
                        continue
                    is_wanted = self._calls.accepts(part, len(calls))
                    calls.append(part)
                    if is_wanted and (command := command_of(part)):
                        yield command
        finally:
            self._let_go(answer)

    def abandon(self) -> None:
        """It is asked no more."""
        self._give_up(VendorUnreachableError("s2s", "given up"))

    async def close(self) -> None:
        """The call is over."""
        if self._task:
            self.abandon()
            await asyncio.wait({self._task}, timeout=CLOSE_SECONDS)

    # ---- asking ------------------------------------------------------------------------------------------------

    def _hear(self, pcm: bytes) -> asyncio.Future[str]:
        """Let the model hear an utterance, once; what it understands comes later."""
        known = next((text for heard, text in self._utterances if heard == pcm), None)
        if known is not None:
            return known
        text: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        text.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self._broken:
            text.set_exception(self._broken)
            return text
        self._utterances.append((pcm, text))
        self._uncommitted.append(text)
        for event in messages.utterance(pcm):
            self._send(event)
        return text

    async def _ask(self, *, words_only: bool) -> Answer:
        if self._answer:
            await self._answer.ended(CANCEL_SECONDS)
        if self._broken or not self._task:
            raise self._broken or VendorUnreachableError("s2s", "not connected")
        self._answer = Answer(self._connection.meter, self._cut, self._calls.drop)
        self._send(messages.answer(words_only=words_only))
        return self._answer

    def _let_go(self, answer: Answer) -> None:
        if answer.is_read:
            return
        answer.leave()
        if not answer.has_ended:
            self._send({"type": "response.cancel", "event_id": "cancel"})

    def _cut(self, item_id: str, heard_ms: int) -> None:
        self._send(messages.truncation(item_id, heard_ms))

    def _send(self, event: Event) -> None:
        if self._broken:
            return
        try:
            self._to_send.put_nowait(event)
        except asyncio.QueueFull:
            self._give_up(VendorBusyError("s2s", "it does not keep up with the call"))

    # ---- the connection ----------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with self._connection.websocket(f"realtime?model={self._model}") as socket:
                sender = asyncio.create_task(self._send_all(socket))
                try:
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.TEXT:
                            self._read(message.data)
                finally:
                    sender.cancel()
                    await asyncio.wait({sender})
                raise VendorUnreachableError("s2s", f"closed with {socket.close_code}")
        except VendorError as error:
            self._fail(error)

    async def _send_all(self, socket: WebSocket) -> None:
        with suppress(ConnectionError):  # the receiving side says what became of the connection
            while True:
                await socket.send_str(orjson.dumps(await self._to_send.get()).decode())

    def _give_up(self, error: VendorError) -> None:
        self._fail(error)
        if self._task:
            self._task.cancel()

    def _fail(self, error: VendorError) -> None:
        self._broken = self._broken or error
        waiting = [*self._uncommitted, *self._transcribing.values()]
        for text in waiting:
            if not text.done():
                text.set_exception(self._broken)
        self._uncommitted.clear()
        self._transcribing.clear()
        if self._answer:
            self._answer.fail(self._broken)

    def _read(self, text: str) -> None:
        try:
            event = orjson.loads(text)
            self._understand(event)
        except (orjson.JSONDecodeError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise VendorProtocolError("s2s", type(error).__name__) from error

    def _understand(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "error":
                self._complain(event["error"])
            case "input_audio_buffer.committed":
                if self._uncommitted:
                    self._transcribing[event["item_id"]] = self._uncommitted.popleft()
            case "conversation.item.input_audio_transcription.completed":
                self._transcribed(event)
            case "conversation.item.input_audio_transcription.failed":
                if text := self._transcribing.pop(event["item_id"], None):
                    text.set_exception(messages.error_of(event["error"]))
            case str(kind) if kind.startswith("response.") and self._answer:
                self._answer.take(kind, event)

    def _complain(self, error: Mapping[str, Any]) -> None:
        """Errors of the session end it; of what came too late they mean nothing."""
        if not str(error.get("event_id") or "").startswith(messages.HARMLESS):
            raise messages.error_of(error)

    def _transcribed(self, event: Mapping[str, Any]) -> None:
        usage = event.get("usage") or {}
        meter = self._connection.meter
        if usage.get("type") == "duration":
            meter.count("seconds", float(usage["seconds"]))
        elif usage.get("type") == "tokens":
            meter.count("transcription_tokens_in", int(usage["input_tokens"]))
            meter.count("transcription_tokens_out", int(usage["output_tokens"]))
        if (text := self._transcribing.pop(event["item_id"], None)) and not text.done():
            text.set_result(str(event["transcript"]).strip())
