"""OpenAI's Realtime events: what is sent, what is charged, what errors mean."""

from typing import Any

import pytest

from call_service.llm.messages import ToolCall
from call_service.tools.toolbox import Toolbox
from call_service.vendors.errors import VendorBusyError, VendorKeyError, VendorRejectedError
from call_service.vendors.realtime.answer import Answer
from call_service.vendors.realtime.messages import PIECE_BYTES, error_of, item, repeated, session, usage_of, utterance
from call_service.vendors.usage import Meter
from call_service.voice.direct import Told
from call_service.voice.ports import AgentProfile

PROFILE = AgentProfile(name="Maya", instructions="Be kind.", first_message="Hello, I am Maya.", language="en-GB")


def test_options_of_the_session_go_where_the_vendor_has_them() -> None:
    options = {"speed": 1.2, "transcription_model": "gpt-live-transcribe", "max_output_tokens": 500, "type": "x"}
    made = session(PROFILE, "cedar", options, Toolbox(rules=["Never sing."]))["session"]
    assert (made["type"], made["max_output_tokens"], made["audio"]["output"]["speed"]) == ("realtime", 500, 1.2)
    assert made["audio"]["input"]["transcription"] == {"model": "gpt-live-transcribe", "language": "en"}
    assert made["audio"]["input"]["turn_detection"] is None
    assert [(tool["type"], tool["name"]) for tool in made["tools"]] == [
        ("function", "collect"),
        ("function", "end_call"),
    ]
    assert "Be kind." in made["instructions"]
    assert "Never sing." in made["instructions"]
    assert "speed" not in session(PROFILE, "cedar", {}, Toolbox())["session"]["audio"]["output"]


def test_long_utterances_go_in_pieces() -> None:
    kinds = [event["type"] for event in utterance(bytes(2 * PIECE_BYTES + 2))]
    assert kinds == ["input_audio_buffer.append"] * 3 + ["input_audio_buffer.commit"]
    assert item(Told("assistant", "Hi."))["item"]["content"] == [{"type": "output_text", "text": "Hi."}]
    assert item(Told("user", "42"))["item"]["content"] == [{"type": "input_text", "text": "42"}]


CALL = {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": '{"order": "17"}'}


async def test_calls_of_an_answer_that_nobody_reads_on_are_dropped_those_that_come_later_too() -> None:
    dropped = list[str]()
    answer = Answer(Meter("openai", "s2s"), lambda _item, _ms: None, dropped.append)
    answer.take("response.output_item.done", {"item": CALL})
    assert dropped == []
    answer.leave()
    answer.take("response.output_item.done", {"item": CALL | {"call_id": "call_2"}})
    assert dropped == ["call_1", "call_2"]


async def test_an_answer_that_was_read_to_its_end_has_nothing_to_drop() -> None:
    answer = Answer(Meter("openai", "s2s"), lambda _item, _ms: None, lambda _call: None)
    answer.take("response.output_item.done", {"item": CALL})
    answer.take("response.done", {"response": {"status": "completed"}})
    assert [part async for part in answer.parts()] == [ToolCall("call_1", "look_up", {"order": "17"})]
    assert answer.is_read


def test_a_late_result_belongs_to_a_call_of_its_own() -> None:
    again = repeated(ToolCall("call_1", "look_up", {"order": "17"}))["item"]
    assert (again["call_id"], again["arguments"]) == ("late_call_1", '{"order":"17"}')


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (
            {
                "input_token_details": {
                    "text_tokens": 119,
                    "audio_tokens": 40,
                    "cached_tokens": 70,
                    "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 10},
                },
                "output_token_details": {"text_tokens": 30, "audio_tokens": 91},
            },
            (59, 30, 70, 30, 91),
        ),
        ({"input_token_details": None}, (0, 0, 0, 0, 0)),
        (None, (0, 0, 0, 0, 0)),
    ],
)
def test_what_was_cached_is_counted_apart(usage: Any, counted: tuple[int, ...]) -> None:
    assert tuple(usage_of({"usage": usage}).values()) == counted


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "invalid_api_key"}, VendorKeyError),
        ({"code": "insufficient_quota"}, VendorKeyError),
        ({"code": "rate_limit_exceeded"}, VendorBusyError),
        ({"code": None, "type": "server_error"}, VendorBusyError),
        ({"code": "model_not_found"}, VendorRejectedError),
        (None, VendorRejectedError),
    ],
)
def test_errors_have_kinds_and_say_nothing_of_what_the_vendor_wrote(error: Any, kind: type[Exception]) -> None:
    made = error_of(error and error | {"message": "secret prose"})
    assert type(made) is kind
    assert "secret" not in str(made)
