"""How the client speaks with an endpoint: what differs between OpenAI's chat completions and other APIs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel

from call_service.llm.messages import Message, StreamAssembler, TextDelta, ToolCall, Usage
from call_service.llm.structured import content_of, schema_format


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request, in the words of OpenAI's chat completions. `answer`: the shape of the JSON that is wanted."""

    model: str
    messages: Sequence[Message]
    stream: bool = False
    temperature: float | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    answer: type[BaseModel] | None = None


class Assembler(Protocol):
    """Turns the `data:` payloads of one stream into deltas."""

    finished: bool
    usage: Usage | None

    def feed(self, payload: str) -> list[TextDelta]:
        """New text of one payload. Raises LlmError."""

    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the finished stream."""


class Dialect(Protocol):
    """One API."""

    path: str
    has_json_answers: bool

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The JSON of a request."""

    def assembler(self) -> Assembler:
        """For one stream."""

    def content_of(self, raw: bytes) -> tuple[str, Usage | None]:
        """The text of a whole answer. Raises LlmProtocolError."""


class OpenAiDialect:
    """Chat completions: https://platform.openai.com/docs/api-reference/chat."""

    path = "chat/completions"
    has_json_answers = True

    def __init__(self, *, counts_tokens: bool = False) -> None:
        """`counts_tokens`: streams are asked for their usage, which some servers refuse (the client learns it)."""
        self._counts_tokens = counts_tokens

    def body(self, request: ChatRequest) -> dict[str, Any]:
        """The fields that were asked for, and no others."""
        wanted: dict[str, Any] = {
            "stream": request.stream or None,
            "temperature": request.temperature,
            "tools": list(request.tools) or None,
            "response_format": schema_format(request.answer) if request.answer else None,
            "stream_options": {"include_usage": True} if request.stream and self._counts_tokens else None,
        }
        chosen = {name: value for name, value in wanted.items() if value is not None}
        return {"model": request.model, "messages": list(request.messages), **chosen}

    def assembler(self) -> StreamAssembler:
        """For one stream."""
        return StreamAssembler()

    def content_of(self, raw: bytes) -> tuple[str, Usage | None]:
        """The text of a whole chat completion. Raises LlmProtocolError."""
        return content_of(raw)
