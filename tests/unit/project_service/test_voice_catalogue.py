"""The catalogue of voices is what the workers' engine can speak."""

import pytest
from pydantic import TypeAdapter, ValidationError

from call_service.voice.engines.voices import DEFAULT_VOICE, PACE
from project_service.voices import catalogue as ours


def test_every_voice_is_one_that_every_worker_has() -> None:
    assert {voice_id: entry.speed for voice_id, entry in ours.catalogue().items()} == PACE


def test_the_default_voice_is_the_workers() -> None:
    assert ours.DEFAULT_VOICE == DEFAULT_VOICE
    assert TypeAdapter(ours.VoiceId).validate_python(ours.DEFAULT_VOICE) == DEFAULT_VOICE


def test_an_unknown_voice_is_refused() -> None:
    with pytest.raises(ValidationError, match="no such voice"):
        TypeAdapter(ours.VoiceId).validate_python("nobody")
