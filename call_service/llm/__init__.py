"""A small client for any endpoint that speaks OpenAI's chat completions."""

from call_service.llm.client import LlmClient, LlmSettings
from call_service.llm.errors import (
    LlmAuthError,
    LlmBusyError,
    LlmError,
    LlmProtocolError,
    LlmRejectedError,
    LlmTimeoutError,
    LlmUnreachableError,
)
from call_service.llm.messages import Delta, Message, TextDelta, ToolCall

__all__ = [
    "Delta",
    "LlmAuthError",
    "LlmBusyError",
    "LlmClient",
    "LlmError",
    "LlmProtocolError",
    "LlmRejectedError",
    "LlmSettings",
    "LlmTimeoutError",
    "LlmUnreachableError",
    "Message",
    "TextDelta",
    "ToolCall",
]
