"""Bodies of answers about voices."""

from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

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


class VoicesQuery(BaseModel):
    """Whose voices: those of the local engine, or of a vendor, with the key that the project has for it."""

    model_config = ConfigDict(extra="forbid")

    provider: Literal["hibari", "cartesia", "deepgram", "elevenlabs", "openai"] = "hibari"
    project_id: UUID | None = Field(None, alias="projectId")


class Voice(BaseModel):
    """A voice. `preview_url` plays without credentials; a vendor may have none, and leave labels empty."""

    name: str
    labels: Labels
    voice_id: str
    preview_url: str | None
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
