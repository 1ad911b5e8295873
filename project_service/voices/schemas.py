"""Bodies of answers about voices."""

from typing import Any

from pydantic import BaseModel

from project_service.fields import success
from project_service.voices.catalogue import Labels
from shared.envelope import Success

_EXAMPLE: dict[str, Any] = {
    "name": "Heart",
    "labels": {
        "accent": "american",
        "description": "warm",
        "age": "young",
        "gender": "female",
        "use_case": "conversational",
    },
    "voice_id": "heart",
    "preview_url": "https://talkstack.example/voices/heart/preview.wav",
    "provider": "hibari",
    "language": "en-US",
}


class Voice(BaseModel):
    """A voice. `preview_url` plays without credentials."""

    name: str
    labels: Labels
    voice_id: str
    preview_url: str
    provider: str
    language: str


class VoiceList(Success):
    """All voices."""

    model_config = success("successfully fetched voice list.", voices=[_EXAMPLE])

    message: str = "successfully fetched voice list."
    voices: list[Voice]


class VoiceAnswer(Success):
    """One voice."""

    model_config = success("successfully fetched voice data.", voice=_EXAMPLE)

    message: str = "successfully fetched voice data."
    voice: Voice
