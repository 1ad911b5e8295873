"""The speech engines of one worker process, loaded once and shared by all its calls."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from call_service.voice.engines.null import LevelActivity, NullRecognizer, NullSynthesizer
from call_service.voice.engines.voices import DEFAULT_VOICE
from call_service.voice.ports import Brain, Recognizer, Synthesizer, VoiceActivity


class SpeechUnavailableError(Exception):
    """A speech engine cannot be loaded on this machine."""


def _nothing() -> None: ...


def _unheard(_frame: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Extras:
    """Engines that agents choose by name, where the operator has models for them; `whisper` is told the language."""

    whisper: Callable[[str], Recognizer] | None = None
    llama: Brain | None = None
    kokoro: Synthesizer | None = None


@dataclass(frozen=True, slots=True)
class Engines:
    """What a call needs to hear and to speak. `close` frees threads.

    `hear` gets every received frame as it comes: for recognisers that stream, which have to be paced like the call.
    """

    recognizer: Recognizer
    synthesizer: Synthesizer
    voice_activity: Callable[[], VoiceActivity]
    close: Callable[[], None] = _nothing
    hear: Callable[[bytes], None] = _unheard
    extras: Extras = Extras()


async def load_engines(kind: Literal["local", "null"] = "local") -> Engines:
    """Load the engines off the event loop and warm them up (about a second and a half).

    Raises:
        SpeechUnavailableError: a package or its model is missing; the text says which, and what to do instead.
    """
    if kind == "null":
        return Engines(NullRecognizer(), NullSynthesizer(), LevelActivity)
    engines = await asyncio.to_thread(_load_local)
    greeting = await engines.synthesizer.synthesize("Hello there.", DEFAULT_VOICE)
    await engines.recognizer.recognize(greeting)
    return engines


def _load_local() -> Engines:
    try:
        # The packages are an extra that only workers install.
        from call_service.voice.engines.hibari import HibariSynthesizer  # noqa: PLC0415
        from call_service.voice.engines.moonshine import MoonshineRecognizer  # noqa: PLC0415
        from call_service.voice.engines.silero import SileroActivity, SileroModel  # noqa: PLC0415

        synthesizer, recognizer, activity = HibariSynthesizer(), MoonshineRecognizer(), SileroModel()
    except (ImportError, OSError) as error:
        missing = getattr(error, "name", None) or error
        raise SpeechUnavailableError(
            f"Local speech needs {missing}, which is not usable here. `pip install 'talkstack[speech]'` installs it "
            "(wheels: Linux x86-64 and arm64 with glibc 2.34 or newer, macOS); the null engines need nothing."
        ) from error

    def close() -> None:
        synthesizer.close()
        recognizer.close()

    return Engines(recognizer, synthesizer, lambda: SileroActivity(activity), close)
