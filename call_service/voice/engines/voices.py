"""The voices this worker can speak with."""

from dataclasses import dataclass

DEFAULT_VOICE = "heart"


@dataclass(frozen=True, slots=True)
class Voice:
    """One entry of the catalogue. `model` is hibari's name of it, `speed` 1.0 the pace it was trained with."""

    voice_id: str
    name: str
    model: str
    speed: float
    accent: str
    gender: str
    description: str
    use_case: str
    bundled: bool


# hibari 0.2.1 ships one model; the others are files the operator puts into HIBARI_HOME.
CATALOGUE = {
    voice.voice_id: voice
    for voice in (
        Voice("heart", "Heart", "heart", 1.0, "american", "female", "warm", "conversational", bundled=True),
        Voice("heart-calm", "Heart, calm", "heart", 0.88, "american", "female", "calm", "support", bundled=True),
        Voice("heart-brisk", "Heart, brisk", "heart", 1.12, "american", "female", "brisk", "sales", bundled=True),
        Voice("kore", "Kore", "kore", 1.0, "american", "female", "clear", "narration", bundled=False),
        Voice("fenrir", "Fenrir", "fenrir", 1.0, "american", "male", "firm", "conversational", bundled=False),
        Voice("emma", "Emma", "emma", 1.0, "british", "female", "friendly", "conversational", bundled=False),
        Voice("fable", "Fable", "fable", 1.0, "british", "male", "calm", "narration", bundled=False),
    )
}
