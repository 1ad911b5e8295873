"""The choice of vendors: what is refused, and with which words."""

from typing import Any, get_args

import pytest

from project_service.agents.providers import LlmName, Providers, SttName, TtsName
from shared.endpoints import validate
from shared.errors import InvalidRequestError
from shared.providers import offering

VOICE = {"provider": "elevenlabs", "voice": "JBFqnCBsd6RMkjVDRZzb"}


def test_the_names_are_those_of_the_providers_that_have_the_stage() -> None:
    assert get_args(SttName) == offering("stt")
    assert get_args(LlmName) == offering("llm")
    assert get_args(TtsName) == offering("tts")


def test_nothing_chosen_is_everything_local() -> None:
    assert Providers().names() == set()


def test_fallbacks_are_needed_as_well() -> None:
    chosen = Providers.model_validate(
        {
            "stt": {"provider": "deepgram", "fallbacks": [{"provider": "groq"}]},
            "tts": VOICE | {"options": {"speed": 1.1}},
        }
    )
    assert chosen.names() == {"deepgram", "groq", "elevenlabs"}


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"stt": {"provider": "elevenlabs"}}, "stt.provider", "Input should be 'assemblyai'"),
        ({"stt": {}}, "stt.provider", "This field is required."),
        ({"tts": {"provider": "openai"}}, "tts.voice", "This field is required."),
        ({"tts": VOICE | {"voice": "../../user"}}, "tts.voice", "pattern"),
        ({"tts": VOICE | {"voice": ".."}}, "tts.voice", "pattern"),
        ({"llm": {"provider": "openai_compatible"}}, "llm", "no default model"),
        ({"llm": {"provider": "openai", "voice": "alloy"}}, "llm.voice", "Extra inputs"),
        ({"llm": {"provider": "openai", "model": " "}}, "llm.model", "at least 1"),
        ({"llm": {"provider": "openai", "options": {"a b": 1}}}, "llm.options.a b.[key]", "pattern"),
        ({"llm": {"provider": "openai", "fallbacks": [{"provider": "deepgram"}]}}, "llm.fallbacks.0.provider", "Input"),
        ({"llm": {"provider": "openai", "fallbacks": [{"provider": "groq"}] * 4}}, "llm.fallbacks", "at most 3"),
        ({"vad": {"provider": "openai"}}, "vad", "Extra inputs"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        validate(Providers, given)
    assert refused.value.errors[0].field == field
    assert message in refused.value.errors[0].message
