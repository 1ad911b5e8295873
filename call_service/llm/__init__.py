"""A small client for language models: OpenAI's chat completions, and Anthropic's messages."""

from call_service.llm.anthropic import AnthropicDialect
from call_service.llm.client import LlmClient, LlmSettings
from call_service.llm.dialect import OpenAiDialect
from call_service.llm.errors import (
    LlmAuthError,
    LlmBusyError,
    LlmError,
    LlmProtocolError,
    LlmRejectedError,
    LlmTimeoutError,
    LlmUnreachableError,
)
from call_service.llm.messages import Delta, Message, TextDelta, ToolCall, Usage

__all__ = [
    "AnthropicDialect",
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
    "OpenAiDialect",
    "TextDelta",
    "ToolCall",
    "Usage",
]
