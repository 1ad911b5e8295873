"""OpenAI's Realtime API on loopback, each of whose messages has to be what the vendor's own library understands.

The rules kept here: one response at a time, no audio without a commit of 100 ms, no truncation behind the end of what
was sent, no output of a call that was never made, errors with the `event_id` of what caused them. Beyond the vendor's
rules it complains of a call that had no output when the next answer was asked for, or two.
"""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from typing import Any

import orjson
from aiohttp import WSMsgType, web
from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter, ValidationError

HZ = 8000
PIECE = HZ // 5


@dataclass(slots=True)
class Reply:
    """One response: words with so much sound, and calls of functions; it ends when all were made for so long.

    Arguments that are text go out as they are.
    """

    text: str = ""
    seconds: float = 0.6
    calls: list[tuple[str, dict[str, Any] | str]] = field(default_factory=list)
    lingers: float = 0.0


@cache
def _adapter(kind: Any) -> TypeAdapter[BaseModel]:
    return TypeAdapter(kind)


def complaints(kind: Any, event: Any) -> list[str]:
    """What the vendor's library would not understand of a message."""
    try:
        parsed = _adapter(kind).validate_python(event)
    except ValidationError as error:
        return [f"{event.get('type')}: {error}"]
    return [f"{event['type']}: unknown field {name}" for name in _unknown(parsed)]


def _unknown(parsed: Any) -> list[str]:
    if isinstance(parsed, list | tuple):
        return [name for one in parsed for name in _unknown(one)]
    if not isinstance(parsed, BaseModel):
        return []
    values = [getattr(parsed, name) for name in type(parsed).model_fields]
    return [*(parsed.model_extra or {}), *(name for value in values for name in _unknown(value))]


class RealtimeSession:
    """One connection. `fault` is asked at each response; `piece` makes sound of samples."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        replies: list[Reply],
        texts: list[str],
        fault: Callable[[], str],
        abort: Callable[[], None],
    ) -> None:
        self._socket = socket
        self._replies = replies
        self._texts = texts
        self._fault = fault
        self._abort = abort
        self._ids = count(1)
        self._buffer = b""
        self._sent_ms: dict[str, float] = {}
        self._response: asyncio.Task[None] | None = None
        self.received: list[dict[str, Any]] = []
        self.outputs: dict[str, list[str]] = {}
        """What the calls that were made had as outputs."""
        self.complaints: list[str] = []

    async def run(self) -> None:
        await self._send("session.created", session={"type": "realtime"})
        try:
            async for message in self._socket:
                assert message.type is WSMsgType.TEXT
                event = orjson.loads(message.data)
                self.received.append(event)
                self.complaints += complaints(RealtimeClientEvent, event)
                await self._hear(event)
        finally:
            if self._response:
                self._response.cancel()

    async def _send(self, kind: str, **content: Any) -> None:
        event = {"type": kind, "event_id": f"event_{next(self._ids)}", **content}
        self.complaints += complaints(RealtimeServerEvent, event)
        if not self._socket.closed:
            await self._socket.send_json(event)

    async def _refuse(self, event: dict[str, Any], code: str) -> None:
        error = {"type": "invalid_request_error", "code": code, "message": code, "event_id": event.get("event_id")}
        await self._send("error", error=error)

    async def _hear(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "session.update":
                await self._send("session.updated", session=event["session"])
            case "input_audio_buffer.append":
                self._buffer += b64decode(event["audio"])
            case "input_audio_buffer.commit":
                await self._commit(event)
            case "conversation.item.create":
                await self._create(event)
            case "conversation.item.truncate":
                await self._truncate(event)
            case "response.create":
                await self._respond(event)
            case "response.cancel":
                await self._cancel(event)

    async def _commit(self, event: dict[str, Any]) -> None:
        if len(self._buffer) < HZ // 10:
            await self._refuse(event, "input_audio_buffer_commit_empty")
            return
        self._buffer, item = b"", f"item_{next(self._ids)}"
        await self._send("input_audio_buffer.committed", item_id=item, previous_item_id=None)
        await self._added(
            {"id": item, "type": "message", "role": "user", "content": [{"type": "input_audio", "transcript": None}]}
        )
        if self._fault() == "none":
            usage = {"type": "tokens", "input_tokens": 13, "output_tokens": 9, "total_tokens": 22}
            kind = "conversation.item.input_audio_transcription.completed"
            await self._send(kind, item_id=item, content_index=0, transcript=self._texts.pop(0), usage=usage)

    async def _create(self, event: dict[str, Any]) -> None:
        item = event["item"]
        if item["type"] == "function_call":
            self.outputs[item["call_id"]] = []
        elif item["type"] == "function_call_output":
            if item["call_id"] not in self.outputs:
                await self._refuse(event, "invalid_tool_call_id")
                return
            self.outputs[item["call_id"]].append(item["output"])
        await self._added({"id": f"item_{next(self._ids)}", **item})

    async def _added(self, item: dict[str, Any]) -> None:
        await self._send("conversation.item.added", item=item, previous_item_id=None)
        await self._send("conversation.item.done", item=item, previous_item_id=None)

    async def _truncate(self, event: dict[str, Any]) -> None:
        if not event["audio_end_ms"] <= self._sent_ms.get(event["item_id"], -1):
            await self._refuse(event, "invalid_value")
            return
        named = {name: event[name] for name in ("item_id", "content_index", "audio_end_ms")}
        await self._send("conversation.item.truncated", **named)

    async def _cancel(self, event: dict[str, Any]) -> None:
        if not self._response or self._response.done():
            await self._refuse(event, "response_cancel_not_active")
            return
        self._response.cancel()
        await asyncio.wait({self._response})
        await self._done("cancelled")

    async def _respond(self, event: dict[str, Any]) -> None:
        if self._response and not self._response.done():
            await self._refuse(event, "conversation_already_has_active_response")
            return
        self.complaints += [f"{call} has {len(had)} outputs" for call, had in self.outputs.items() if len(had) != 1]
        reply = self._replies.pop(0)
        if event.get("response", {}).get("tool_choice") == "none":
            reply.calls.clear()
        self._response = asyncio.create_task(self._speak(reply))

    async def _speak(self, reply: Reply) -> None:
        match self._fault():
            case "hang":
                return
            case "garbage":
                await self._socket.send_str("It works!")
                return
            case "429":
                await self._done("failed", {"error": {"type": "tokens", "code": "rate_limit_exceeded"}})
                return
        await self._send("response.created", response={"id": "resp_1", "status": "in_progress", "output": []})
        if reply.text:
            await self._say(reply, f"item_{next(self._ids)}")
        for index, (name, arguments) in enumerate(reply.calls, 1):
            await self._call(index, name, arguments)
        await asyncio.sleep(reply.lingers)
        await self._done("completed")

    async def _say(self, reply: Reply, item: str) -> None:
        place = {"response_id": "resp_1", "item_id": item, "output_index": 0, "content_index": 0}
        message = {"id": item, "type": "message", "role": "assistant", "status": "completed"}
        await self._send(
            "response.output_item.added", response_id="resp_1", output_index=0, item=message | {"content": []}
        )
        pieces = max(1, round(reply.seconds * HZ / PIECE))
        words = reply.text.split(" ")
        for number in range(pieces):
            if self._fault() == "cut" and number * 2 >= pieces:
                self._abort()
                return
            share = words[number * len(words) // pieces : (number + 1) * len(words) // pieces]
            if share:
                text = (" " if number and words[0] != share[0] else "") + " ".join(share)
                await self._send("response.output_audio_transcript.delta", **place, delta=text)
            sound = bytes(0x10 + n % 64 for n in range(PIECE))
            self._sent_ms[item] = self._sent_ms.get(item, 0) + PIECE * 1000 / HZ
            await self._send("response.output_audio.delta", **place, delta=b64encode(sound).decode())
            await asyncio.sleep(0.9 if self._fault() == "dribble" else 0.01)
        await self._send("response.output_audio.done", **place)
        await self._send("response.output_audio_transcript.done", **place, transcript=reply.text)
        content = [{"type": "output_audio", "transcript": reply.text}]
        item_done = message | {"content": content}
        await self._send("response.output_item.done", response_id="resp_1", output_index=0, item=item_done)

    async def _call(self, index: int, name: str, arguments: dict[str, Any] | str) -> None:
        call_id = f"call_{next(self._ids)}"
        call = {
            "id": f"item_{next(self._ids)}",
            "type": "function_call",
            "status": "completed",
            "call_id": call_id,
            "name": name,
            "arguments": arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode(),
        }
        await self._send("response.output_item.added", response_id="resp_1", output_index=index, item=call)
        self.outputs[call_id] = []
        await self._send("response.output_item.done", response_id="resp_1", output_index=index, item=call)

    async def _done(self, status: str, details: dict[str, Any] | None = None) -> None:
        usage = {
            "total_tokens": 253,
            "input_tokens": 132,
            "output_tokens": 121,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 13,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 64, "audio_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
        }
        response = {"id": "resp_1", "status": status, "status_details": details, "output": [], "usage": usage}
        await self._send("response.done", response=response)
