"""The voices that agents can speak with. The ids are those of the workers' engine."""

from functools import cache
from importlib import resources
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, TypeAdapter
from pydantic_core import PydanticCustomError

DEFAULT_VOICE = "heart"


class Labels(BaseModel):
    """What a voice sounds like and is good for."""

    accent: str
    description: str
    age: str
    gender: str
    use_case: str


class CatalogueEntry(BaseModel):
    """A voice and how the engine makes it: its model's name, and its pace as a factor."""

    model_config = ConfigDict(frozen=True)

    voice_id: str
    name: str
    provider: str
    language: str
    labels: Labels
    model: str
    speed: float


@cache
def catalogue() -> dict[str, CatalogueEntry]:
    """All voices by their id."""
    raw = resources.files(__package__).joinpath("catalogue.json").read_bytes()
    return {entry.voice_id: entry for entry in TypeAdapter(list[CatalogueEntry]).validate_json(raw)}


def _check(voice_id: str) -> str:
    if voice_id not in catalogue():
        raise PydanticCustomError("unknown_voice", "There is no such voice; GET /voices lists them.")
    return voice_id


VoiceId = Annotated[str, AfterValidator(_check)]
