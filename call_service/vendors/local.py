"""The local engines that an agent has chosen by name."""

from typing import TypeVar

from call_service.vendors.choice import Choice
from call_service.vendors.models import EngineMissingError
from call_service.voice.engines.bundle import Extras
from call_service.voice.ports import Brain, Recognizer, Synthesizer
from call_service.voice.synthesis import InOnePiece
from shared.providers import LOCAL_PROVIDERS

T = TypeVar("T")


class VoiceOf(InOnePiece):
    """A `Synthesizer` with the voice of the agent's choice, whatever the local default is."""

    def __init__(self, engine: Synthesizer, voice: str) -> None:
        self._engine = engine
        self._voice = voice

    async def synthesize(self, text: str, voice_id: str) -> bytes:  # noqa: ARG002 # that is the default engine's
        """Raises EngineError: stage `tts`; also when there is no such voice."""
        return await self._engine.synthesize(text, self._voice)


def is_local(choice: Choice) -> bool:
    """Is it an engine of this worker?"""
    return choice.provider in LOCAL_PROVIDERS


def recognizer_of(choice: Choice, extras: Extras, language: str) -> Recognizer:
    """Raises EngineMissingError."""
    return _there(choice, extras.whisper)(language)


def brain_of(choice: Choice, extras: Extras) -> Brain:
    """Raises EngineMissingError."""
    return _there(choice, extras.llama)


def synthesizer_of(choice: Choice, extras: Extras) -> Synthesizer:
    """Raises EngineMissingError."""
    return VoiceOf(_there(choice, extras.kokoro), choice.voice)


def _there(choice: Choice, engine: T | None) -> T:
    if engine is None:
        raise EngineMissingError(choice.provider)
    return engine
