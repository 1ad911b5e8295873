"""Recognition by a POST for each utterance: https://platform.openai.com/docs/api-reference/audio/createTranscription.

Groq (https://console.groq.com/docs/speech-to-text) and the servers that host Whisper (speaches, vLLM, whisper.cpp,
LocalAI) take the same form.
"""

import io
import wave
from collections.abc import Mapping
from typing import Any

import aiohttp
import orjson

from call_service.carriers.port import SAMPLE_RATE
from call_service.vendors.connection import Connection
from call_service.vendors.errors import VendorProtocolError


class WhisperRecognizer:
    """A `Recognizer`. `language` is ISO 639-1; `options` are fields of the form, e.g. `prompt`."""

    def __init__(self, connection: Connection, model: str, language: str, options: Mapping[str, Any]) -> None:
        self._connection = connection
        self._fields = {"language": language, **options, "model": model, "response_format": "json"}

    @property
    def is_busy(self) -> bool:
        """Never: requests do not wait for each other."""
        return False

    async def recognize(self, pcm: bytes) -> str:
        """Text of one utterance. Raises VendorError."""
        form = aiohttp.FormData({name: str(value) for name, value in self._fields.items()})
        form.add_field("file", _wav(pcm), filename="utterance.wav", content_type="audio/wav")
        raw = await self._connection.fetch("audio/transcriptions", data=form)
        self._connection.meter.count("seconds", len(pcm) / (2 * SAMPLE_RATE))
        try:
            text = orjson.loads(raw)["text"]
        except (orjson.JSONDecodeError, LookupError, TypeError) as error:
            raise VendorProtocolError("stt", "no transcription") from error
        if not isinstance(text, str):
            raise VendorProtocolError("stt", "no text")
        return text.strip()


def _wav(pcm: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(SAMPLE_RATE)
        out.writeframes(pcm)
    return file.getvalue()
