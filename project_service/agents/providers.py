"""Which vendors an agent hears, thinks and speaks with. Without a choice the local engines do."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.providers import LOCAL_PROVIDERS, PROVIDERS, STAGES, Stage

_STRICT = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")

# They become part of a URL.
VoiceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}$")]
ModelName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
OptionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
OptionText = Annotated[str, StringConstraints(max_length=2000)]
Options = Annotated[dict[OptionName, bool | int | float | OptionText], Field(max_length=20)]

SttName = Literal["assemblyai", "deepgram", "faster_whisper", "groq", "openai", "whisper_compatible"]
LlmName = Literal["anthropic", "azure_openai", "groq", "openai", "openai_compatible", "xllamacpp"]
TtsName = Literal["cartesia", "deepgram", "elevenlabs", "kokoro", "openai"]
S2sName = Literal["azure_openai", "openai", "pipecat"]

S2S_VOICE = "marin"
BOT_PATIENCE_MS = range(1_000, 30_001)


class _Choice(BaseModel):
    """A vendor and its model. `options` go along with each request as the vendor's own documentation has them."""

    model_config = _STRICT
    stage: ClassVar[Stage]

    provider: str
    model: ModelName | None = None
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_a_model(self) -> Self:
        if self.provider in LOCAL_PROVIDERS:
            if self.model is not None or self.options:
                raise PydanticCustomError("not_allowed", "The operator has chosen the model of this local engine.")
        elif self.model is None and PROVIDERS[self.provider].models[self.stage] is None:
            raise PydanticCustomError("model_missing", "This provider has no default model; name one.")
        return self


class SttChoice(_Choice):
    """Recognition."""

    stage = "stt"
    provider: SttName


class LlmChoice(_Choice):
    """The language model."""

    stage = "llm"
    provider: LlmName


class TtsChoice(_Choice):
    """Synthesis, with one of the vendor's voices. `voice_id` stays the local voice, which speaks when no vendor can."""

    stage = "tts"
    provider: TtsName
    voice: VoiceName


class Stt(SttChoice):
    """Recognition, and what takes over when it fails."""

    fallbacks: list[SttChoice] = Field(default_factory=list, max_length=3)


class Llm(LlmChoice):
    """The language model, and what takes over when it fails."""

    fallbacks: list[LlmChoice] = Field(default_factory=list, max_length=3)


class Tts(TtsChoice):
    """Synthesis, and what takes over when it fails."""

    fallbacks: list[TtsChoice] = Field(default_factory=list, max_length=3)


class S2s(_Choice):
    """A model that hears and speaks itself, with one of the vendor's voices (`marin`), or a bot of one's own.

    A `pipecat` bot has neither a model nor a voice to choose. Its `options` are parameters of its stream, but for
    `patience_ms`: how long the callee may be owed an answer before the other stages take over; 0 for ever.
    """

    stage = "s2s"
    provider: S2sName
    voice: VoiceName | None = None

    @model_validator(mode="after")
    def _fits_the_provider(self) -> Self:
        match self.provider:
            case "pipecat":
                self._check_bot()
            case "azure_openai" if not self.options.get("transcription_model"):
                # There are no models at Azure but deployments, which have the customer's names.
                raise PydanticCustomError(
                    "transcription_missing", "`options.transcription_model` has to name a deployment of yours."
                )
            case _:
                self.voice = self.voice or S2S_VOICE
        return self

    def _check_bot(self) -> None:
        for name in ("model", "voice"):
            if getattr(self, name) is not None:
                raise PydanticCustomError("not_allowed", "A bot has its own {name}; leave it out.", {"name": name})
        patience = self.options.get("patience_ms", 0)
        if type(patience) is not int or not (patience == 0 or patience in BOT_PATIENCE_MS):
            raise PydanticCustomError(
                "patience_invalid",
                "`options.patience_ms` has to be 0 or an integer from {least} to {most}.",
                {"least": BOT_PATIENCE_MS[0], "most": BOT_PATIENCE_MS[-1]},
            )


class Providers(BaseModel):
    """One choice for each stage; null: the local engine, or the language model of the deployment.

    With `s2s` that model holds the conversation, and the other stages are what takes over when it fails.
    """

    model_config = ConfigDict(extra="forbid")

    stt: Stt | None = None
    llm: Llm | None = None
    tts: Tts | None = None
    s2s: S2s | None = None

    def names(self) -> set[str]:
        """Of all vendors that a call may turn to; local engines are none."""
        return {choice.provider for choice in self._choices()} - LOCAL_PROVIDERS.keys()

    def _choices(self) -> Iterator[_Choice]:
        for stage in STAGES:
            chosen: Any = getattr(self, stage)
            if chosen is not None:
                yield from (chosen, *getattr(chosen, "fallbacks", ()))
