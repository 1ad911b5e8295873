"""What goes to a chat endpoint, and what comes back from its stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from call_service.llm.errors import LlmProtocolError, error_of_status

Message = Mapping[str, Any]
"""One chat message as it goes over the wire: `{"role": …, "content": …}`."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Some more text."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One complete tool call. `arguments` is empty when the model sent none, or something that is no JSON object."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    is_malformed: bool = False


Delta = TextDelta | ToolCall


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that one request read and wrote, as the endpoint counts them."""

    tokens_in: int = 0
    tokens_out: int = 0


@dataclass(slots=True)
class PartialCall:
    """A tool call as far as it was streamed."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def complete(self) -> ToolCall:
        """The call, when all of it has come."""
        is_object = isinstance(_json_or_none(self.arguments or "{}"), dict)
        return ToolCall(self.id, self.name, arguments_of(self.arguments), is_malformed=not is_object)


@dataclass(slots=True)
class StreamAssembler:
    """Turns the `data:` payloads of one stream into deltas; tool calls come once they are complete."""

    finished: bool = False
    usage: Usage | None = None
    _calls: dict[int, PartialCall] = field(default_factory=dict)

    def feed(self, payload: str) -> list[TextDelta]:
        """New text of one payload.

        Raises:
            LlmError: the payload is not a chunk of a chat completion, or says that the model failed.
        """
        if payload == "[DONE]":
            self.finished = True
            return []
        chunk = _chunk(payload)
        self.usage = usage_of(chunk) or self.usage
        choice = _first_choice(chunk)
        self.finished = self.finished or bool(choice.get("finish_reason"))
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return []
        for part in delta.get("tool_calls") or []:
            self._add(part)
        content = delta.get("content")
        return [TextDelta(content)] if isinstance(content, str) and content else []

    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the finished stream."""
        return [call.complete() for call in self._calls.values() if call.name]

    def _add(self, part: Any) -> None:
        if not isinstance(part, dict):
            raise LlmProtocolError
        index = part.get("index", len(self._calls))
        call = self._calls.setdefault(index if isinstance(index, int) else 0, PartialCall())
        function = part.get("function") or {}
        call.id = call.id or str(part.get("id") or f"call_{index}")
        call.name = call.name or str(function.get("name") or "")
        call.arguments += str(function.get("arguments") or "")


def usage_of(answer: Mapping[str, Any]) -> Usage | None:
    """What a chat completion, or the last chunk of one, says about tokens; None when it says nothing."""
    match answer.get("usage"):
        case {"prompt_tokens": int(tokens_in), "completion_tokens": int(tokens_out)}:
            return Usage(tokens_in, tokens_out)
    return None


def _chunk(payload: str) -> dict[str, Any]:
    try:
        chunk = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise LlmProtocolError("no JSON") from error
    if not isinstance(chunk, dict):
        raise LlmProtocolError("no object")
    if chunk.get("error"):
        raise error_of_status(500, {}, chunk)
    return chunk


def _first_choice(chunk: Mapping[str, Any]) -> dict[str, Any]:
    choices = chunk.get("choices")
    if not isinstance(choices, list):
        raise LlmProtocolError("no choices")
    choice = choices[0] if choices else {}  # the last chunk may hold only the usage
    if not isinstance(choice, dict):
        raise LlmProtocolError("a choice is no object")
    return choice


def arguments_of(raw: str) -> Mapping[str, Any]:
    """The JSON object in `raw`, an empty one when there is none."""
    parsed = _json_or_none(raw)
    return parsed if isinstance(parsed, dict) else {}


def _json_or_none(raw: str) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
