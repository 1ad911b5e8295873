"""Local engines beyond the defaults, which an operator gives models for and agents choose by name."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from call_service.voice.engines.bundle import Engines, Extras, SpeechUnavailableError

if TYPE_CHECKING:
    from call_service.voice.engines.kokoro import KokoroSynthesizer
    from call_service.voice.engines.llamacpp import LlamaBrain
    from call_service.voice.engines.whisper import WhisperEngine

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Models:
    """What the operator has. None: that engine is not loaded."""

    kokoro: Path | None = None
    kokoro_voices: Path | None = None
    whisper: str | None = None
    gguf: Path | None = None


async def with_extras(engines: Engines, models: Models) -> Engines:
    """`engines` and those that there are models for, loaded off the event loop.

    Raises:
        SpeechUnavailableError: naming the setting, and the package or file that is missing.
    """
    kokoro = await _loaded("KOKORO_MODEL", "speech", lambda: _kokoro(models)) if models.kokoro else None
    whisper = await _loaded("WHISPER_MODEL", "whisper", lambda: _whisper(models)) if models.whisper else None
    llama = await _loaded("GGUF_MODEL", "llama", lambda: _llama(models)) if models.gguf else None

    def close() -> None:
        engines.close()
        for one in (kokoro, whisper):
            if one:
                one.close()

    return replace(engines, extras=Extras(whisper.of if whisper else None, llama, kokoro), close=close)


# The packages are extras that few workers install.
def _kokoro(models: Models) -> "KokoroSynthesizer":
    from call_service.voice.engines.kokoro import KokoroSynthesizer  # noqa: PLC0415

    if models.kokoro is None or models.kokoro_voices is None:
        raise ValueError("KOKORO_VOICES has to say where the voices are")
    return KokoroSynthesizer(models.kokoro, models.kokoro_voices)


def _whisper(models: Models) -> "WhisperEngine":
    from call_service.voice.engines.whisper import WhisperEngine  # noqa: PLC0415

    return WhisperEngine(str(models.whisper))


def _llama(models: Models) -> "LlamaBrain":
    from call_service.voice.engines.llamacpp import LlamaBrain  # noqa: PLC0415

    assert models.gguf is not None
    return LlamaBrain(models.gguf)


async def _loaded(setting: str, extra: str, load: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(load)
    except ImportError as error:
        raise SpeechUnavailableError(
            f"{setting} needs {error.name}; `pip install 'talkstack[{extra}]'` installs it."
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        raise SpeechUnavailableError(f"{setting}: {error}") from error
