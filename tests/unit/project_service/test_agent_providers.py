"""The choice of vendors: what is refused, and with which words."""

from typing import Any, get_args

import pytest

from project_service.agents.providers import LlmName, Providers, S2sName, SttName, TtsName
from shared.endpoints import validate
from shared.errors import InvalidRequestError
from shared.providers import LOCAL_PROVIDERS, STAGES, offering

BOT = {"provider": "pipecat"}
VOICE = {"provider": "elevenlabs", "voice": "JBFqnCBsd6RMkjVDRZzb"}


def test_the_names_are_those_of_the_providers_that_have_the_stage() -> None:
    names = {"stt": SttName, "llm": LlmName, "tts": TtsName, "s2s": S2sName}
    for stage in STAGES:
        local = [name for name, its in LOCAL_PROVIDERS.items() if its == stage]
        assert get_args(names[stage]) == tuple(sorted([*offering(stage), *local])), stage


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


def test_local_engines_need_no_key() -> None:
    given = {"stt": {"provider": "faster_whisper"}, "tts": {"provider": "kokoro", "voice": "bm_george"}}
    assert Providers.model_validate(given).names() == set()
    given = {"llm": {"provider": "xllamacpp", "fallbacks": [{"provider": "groq"}]}}
    assert Providers.model_validate(given).names() == {"groq"}


def test_a_model_that_hears_and_speaks_needs_a_key_beside_those_of_the_stages() -> None:
    chosen = Providers.model_validate({"s2s": {"provider": "openai"}, "llm": {"provider": "groq"}})
    assert chosen.names() == {"openai", "groq"}
    assert chosen.s2s is not None
    assert chosen.s2s.voice == "marin"


@pytest.mark.parametrize("patience_ms", [0, 1_000, 30_000])
def test_a_bot_has_parameters_and_no_voice(patience_ms: int) -> None:
    chosen = Providers.model_validate({"s2s": BOT | {"options": {"patience_ms": patience_ms, "persona": "Maya"}}})
    assert chosen.names() == {"pipecat"}
    assert chosen.s2s is not None
    assert (chosen.s2s.voice, chosen.s2s.model) == (None, None)


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
        ({"s2s": {"provider": "groq"}}, "s2s.provider", "Input should be 'azure_openai', 'openai'"),
        ({"s2s": BOT | {"model": "gpt"}}, "s2s", "its own model; leave it out"),
        ({"s2s": BOT | {"voice": "marin"}}, "s2s", "its own voice; leave it out"),
        ({"s2s": BOT | {"options": {"patience_ms": 999}}}, "s2s", "0 or an integer from 1000 to 30000"),
        ({"s2s": BOT | {"options": {"patience_ms": 30_001}}}, "s2s", "0 or an integer from 1000 to 30000"),
        ({"s2s": BOT | {"options": {"patience_ms": 2000.0}}}, "s2s", "0 or an integer from 1000 to 30000"),
        ({"s2s": BOT | {"options": {"patience_ms": False}}}, "s2s", "0 or an integer from 1000 to 30000"),
        ({"s2s": {"provider": "azure_openai"}}, "s2s", "no default model"),
        ({"s2s": {"provider": "azure_openai", "model": "talk"}}, "s2s", "name a deployment of yours"),
        ({"s2s": {"provider": "openai", "fallbacks": []}}, "s2s.fallbacks", "Extra inputs"),
        ({"llm": {"provider": "xllamacpp", "model": "x"}}, "llm", "The operator has chosen"),
        ({"stt": {"provider": "faster_whisper", "options": {"x": 1}}}, "stt", "The operator has chosen"),
        ({"tts": {"provider": "kokoro"}}, "tts.voice", "This field is required."),
        ({"vad": {"provider": "openai"}}, "vad", "Extra inputs"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        validate(Providers, given)
    assert refused.value.errors[0].field == field
    assert message in refused.value.errors[0].message
