"""OpenAI's Realtime events, as its generally available interface has them since 2025.

https://developers.openai.com/api/reference/resources/realtime/client-events and …/server-events. Nothing here does I/O.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from call_service.carriers.g711 import encode
from call_service.carriers.port import SAMPLE_RATE
from call_service.llm.messages import ToolCall
from call_service.spoken.languages import primary_of
from call_service.tools.toolbox import Toolbox
from call_service.vendors.errors import VendorBusyError, VendorError, VendorKeyError, VendorRejectedError
from call_service.voice.brain.prompt import messages
from call_service.voice.direct import Told
from call_service.voice.ports import AgentProfile

Event = dict[str, Any]

TRANSCRIBES = "gpt-transcribe"
MULAW = {"type": "audio/pcmu"}
# One message may hold 15 MiB; ten seconds are 107 kB of base64.
PIECE_BYTES = 2 * SAMPLE_RATE * 10
# What may fail without harm: the answer was complete already, less of it was sent than we thought, or a call in it was
# cancelled before it was complete.
HARMLESS = ("cancel", "truncate", "result")
_NO_CREDIT = frozenset({"insufficient_quota", "invalid_api_key", "account_deactivated", "billing_hard_limit_reached"})
_PASSES = frozenset({"rate_limit_exceeded", "server_error", "session_expired", "vector_store_timeout"})


def session(profile: AgentProfile, voice: str, options: Mapping[str, Any], tools: Toolbox) -> Event:
    """Who the model is to be, and what it may call.

    `options`: `speed`, `transcription_model`, and other fields of the session.
    """
    given = dict(options)
    speed, transcribes = given.pop("speed", None), given.pop("transcription_model", TRANSCRIBES)
    return {
        "type": "session.update",
        "session": {
            **given,
            "type": "realtime",
            "instructions": messages(profile, (), "", tools=True, rules=tools.rules)[0]["content"],
            "output_modalities": ["audio"],
            "audio": {
                "input": {
                    "format": MULAW,
                    "turn_detection": None,
                    "transcription": {"model": transcribes, "language": primary_of(profile.language)},
                },
                "output": {"format": MULAW, "voice": voice, **({"speed": speed} if speed else {})},
            },
            "tools": [{"type": "function", **tool["function"]} for tool in tools.functions],
            "tool_choice": "auto",
        },
    }


def utterance(pcm: bytes) -> Iterator[Event]:
    """Audio at 8 kHz becomes an item of the conversation."""
    for start in range(0, len(pcm), PIECE_BYTES):
        audio = b64encode(encode(pcm[start : start + PIECE_BYTES])).decode()
        yield {"type": "input_audio_buffer.append", "audio": audio}
    yield {"type": "input_audio_buffer.commit"}


def item(told: Told) -> Event:
    """Words become one."""
    kind = "output_text" if told.role == "assistant" else "input_text"
    content = [{"type": kind, "text": told.text}]
    return {"type": "conversation.item.create", "item": {"type": "message", "role": told.role, "content": content}}


def answer(*, words_only: bool) -> Event:
    """The model is asked; for `words_only` it may call no functions."""
    asked: Event = {"type": "response.create", "event_id": "ask"}
    return asked | {"response": {"tool_choice": "none"}} if words_only else asked


def repeated(call: ToolCall) -> Event:
    """A call that the model had an output for already, under another name, so that it can have one more."""
    arguments = orjson.dumps(call.arguments).decode()
    again = {"type": "function_call", "call_id": f"late_{call.id}", "name": call.name, "arguments": arguments}
    return {"type": "conversation.item.create", "event_id": f"result_{call.id}", "item": again}


def tool_result(call_id: str, output: str) -> Event:
    """What a function has returned."""
    return {
        "type": "conversation.item.create",
        "event_id": f"result_{call_id}",
        "item": {"type": "function_call_output", "call_id": call_id, "output": output},
    }


def truncation(item_id: str, heard_ms: int) -> Event:
    """The callee heard so much of an item and no more."""
    return {
        "type": "conversation.item.truncate",
        "event_id": f"truncate_{item_id}",
        "item_id": item_id,
        "content_index": 0,
        "audio_end_ms": heard_ms,
    }


def error_of(error: Mapping[str, Any] | None) -> VendorError:
    """What an `error` event, or the error of a failed response, means."""
    known = error or {}
    code = str(known.get("code") or known.get("type") or "")
    detail = code if code.replace("_", "").isalnum() else ""
    if code in _NO_CREDIT:
        return VendorKeyError("s2s", detail)
    return (VendorBusyError if code in _PASSES else VendorRejectedError)("s2s", detail)


def usage_of(response: Mapping[str, Any]) -> dict[str, int]:
    """What a response is charged for, by unit; what was cached costs less and is counted apart."""
    usage = response.get("usage") or {}
    read, written = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    cached = read.get("cached_tokens_details") or {}
    return {
        "tokens_in": _int(read, "text_tokens") - _int(cached, "text_tokens"),
        "audio_tokens_in": _int(read, "audio_tokens") - _int(cached, "audio_tokens"),
        "cached_tokens_in": _int(read, "cached_tokens"),
        "tokens_out": _int(written, "text_tokens"),
        "audio_tokens_out": _int(written, "audio_tokens"),
    }


def _int(details: Mapping[str, Any], name: str) -> int:
    value = details.get(name)
    return value if isinstance(value, int) else 0
