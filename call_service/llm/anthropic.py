"""Anthropic's Messages API: https://docs.anthropic.com/en/api/messages, …/messages-streaming, …/errors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from call_service.llm.dialect import ChatRequest
from call_service.llm.errors import LlmAuthError, LlmBusyError, LlmError, LlmProtocolError, LlmRejectedError
from call_service.llm.messages import Message, PartialCall, TextDelta, ToolCall, Usage, arguments_of

# The API wants a limit; what is said in one turn on the phone is far shorter.
MAX_TOKENS = 1024
MAX_TEMPERATURE = 1.0
_BEGIN = {"type": "text", "text": "(The call begins.)"}
_ERRORS: Mapping[str, type[LlmError]] = {
    "authentication_error": LlmAuthError,
    "permission_error": LlmAuthError,
    "invalid_request_error": LlmRejectedError,
    "not_found_error": LlmRejectedError,
    "request_too_large": LlmRejectedError,
}


class AnthropicDialect:
    """Messages, streamed or whole, with tools."""

    path = "messages"
    has_json_answers = False

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The system's words apart, roles in turn beginning with the user, tools by their input schema."""
        system = "\n\n".join(str(said["content"]) for said in request.messages if said["role"] == "system")
        wanted: dict[str, Any] = {
            "system": system or None,
            "stream": request.stream or None,
            "temperature": None if request.temperature is None else min(request.temperature, MAX_TEMPERATURE),
            "tools": [_tool(tool["function"]) for tool in request.tools] or None,
        }
        chosen = {name: value for name, value in wanted.items() if value is not None}
        return {
            "model": request.model,
            "max_tokens": MAX_TOKENS,
            "messages": _turns(said for said in request.messages if said["role"] != "system"),
            **chosen,
        }

    def assembler(self) -> "AnthropicAssembler":
        """For one stream."""
        return AnthropicAssembler()

    def content_of(self, raw: bytes) -> tuple[str, Usage | None]:
        """The text of a whole message. Raises LlmProtocolError."""
        try:
            message = orjson.loads(raw)
            text = "".join(block["text"] for block in message["content"] if block["type"] == "text")
        except (orjson.JSONDecodeError, LookupError, TypeError) as error:
            raise LlmProtocolError("no message") from error
        return text, _usage(message.get("usage"), Usage())


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": function["name"],
        "description": function.get("description", ""),
        "input_schema": function["parameters"],
    }


def _turns(said: Iterable[Message]) -> list[dict[str, Any]]:
    """Neighbours of one role become one turn: the API wants results of tools together, and the user first."""
    turns: list[dict[str, Any]] = []
    for message in said:
        role = "assistant" if message["role"] == "assistant" else "user"
        if not turns and role == "assistant":
            turns.append({"role": "user", "content": [_BEGIN]})
        if not turns or turns[-1]["role"] != role:
            turns.append({"role": role, "content": []})
        turns[-1]["content"] += _blocks(message)
    return [turn for turn in turns if turn["content"]]


def _blocks(message: Message) -> list[dict[str, Any]]:
    text = message.get("content") or ""
    if message["role"] == "tool":
        return [{"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": text}]
    uses = [
        {
            "type": "tool_use",
            "id": call["id"],
            "name": call["function"]["name"],
            "input": arguments_of(call["function"]["arguments"]),
        }
        for call in message.get("tool_calls") or ()
    ]
    return [*([{"type": "text", "text": text}] if text.strip() else []), *uses]


def _usage(reported: Any, known: Usage) -> Usage:
    if not isinstance(reported, dict):
        return known
    read = [reported.get(f"{kind}input_tokens") for kind in ("", "cache_creation_", "cache_read_")]
    tokens_in = sum(count for count in read if isinstance(count, int))
    tokens_out = reported.get("output_tokens")
    return Usage(tokens_in or known.tokens_in, tokens_out if isinstance(tokens_out, int) else known.tokens_out)


@dataclass(slots=True)
class AnthropicAssembler:
    """Turns the events of one stream into deltas; events of kinds that we do not know are skipped."""

    finished: bool = False
    usage: Usage | None = None
    _calls: dict[int, PartialCall] = field(default_factory=dict)

    def feed(self, payload: str) -> list[TextDelta]:
        """New text of one event.

        Raises:
            LlmError: the payload is no event, or says that the model failed.
        """
        event = _event(payload)
        match event.get("type"):
            case "message_start":
                self._count(_part(event, "message").get("usage"))
            case "content_block_start" if _part(event, "content_block").get("type") == "tool_use":
                block = _part(event, "content_block")
                self._calls[_index(event)] = PartialCall(str(block.get("id")), str(block.get("name")))
            case "content_block_delta":
                return self._delta(_index(event), _part(event, "delta"))
            case "message_delta":
                self._count(event.get("usage"))
            case "message_stop":
                self.finished = True
            case "error":
                kind = str(_part(event, "error").get("type"))
                raise _ERRORS.get(kind, LlmBusyError)(kind if kind in _ERRORS else "")
        return []

    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the finished stream."""
        return [call.complete() for call in self._calls.values()]

    def _delta(self, index: int, delta: Mapping[str, Any]) -> list[TextDelta]:
        match delta:
            case {"type": "text_delta", "text": str(text)} if text:
                return [TextDelta(text)]
            case {"type": "input_json_delta", "partial_json": str(part)} if index in self._calls:
                self._calls[index].arguments += part
        return []

    def _count(self, reported: Any) -> None:
        self.usage = _usage(reported, self.usage or Usage())


def _event(payload: str) -> dict[str, Any]:
    try:
        event = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise LlmProtocolError("no JSON") from error
    if not isinstance(event, dict) or "type" not in event:
        raise LlmProtocolError("no event")
    return event


def _part(event: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = event.get(name)
    if not isinstance(part, dict):
        raise LlmProtocolError(f"an event without its {name}")
    return part


def _index(event: Mapping[str, Any]) -> int:
    index = event.get("index")
    return index if isinstance(index, int) else 0
