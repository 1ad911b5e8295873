"""The voices that customers can choose are voices that the worker has."""

from call_service.voice.engines.voices import CATALOGUE, DEFAULT_VOICE
from project_service.voices import catalogue as offered


def test_every_voice_on_offer_is_bundled_and_sounds_as_its_preview() -> None:
    assert offered.DEFAULT_VOICE == DEFAULT_VOICE
    for voice in offered.CATALOGUE.values():
        spoken = CATALOGUE[voice.voice_id]
        assert spoken.bundled
        assert (spoken.model, spoken.speed) == (voice.model, voice.speed)
