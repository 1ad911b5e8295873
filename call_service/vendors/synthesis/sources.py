"""The vendors' synthesis, each a POST whose answer is streamed audio. `options` go along with each request."""

from collections.abc import AsyncGenerator, Hashable, Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import numpy as np
import soxr

from call_service.carriers.g711 import decode
from call_service.carriers.port import SAMPLE_RATE
from call_service.vendors.connection import Connection

OPENAI_HZ = 24_000


class ElevenLabsSource:
    """https://elevenlabs.io/docs/api-reference/text-to-speech/stream; `options` are its `voice_settings`."""

    def __init__(self, connection: Connection, model: str, voice: str, options: Mapping[str, Any]) -> None:
        self._connection = connection
        self._body = {"model_id": model, **({"voice_settings": dict(options)} if options else {})}
        self._path = f"text-to-speech/{voice}/stream?output_format=ulaw_8000"
        self.key: Hashable = (connection.base_url, self._path, str(self._body))

    async def stream(self, text: str) -> AsyncGenerator[bytes]:
        """PCM at 8 kHz. Raises VendorError."""
        async with aclosing(self._connection.audio(self._path, json={"text": text, **self._body})) as chunks:
            async for chunk in chunks:
                yield decode(chunk)


class CartesiaSource:
    """https://docs.cartesia.ai/api-reference/tts/bytes, which streams as well as its other two endpoints."""

    def __init__(
        self, connection: Connection, model: str, voice: str, language: str, options: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._body = {
            "language": language,
            **options,
            "model_id": model,
            "voice": {"mode": "id", "id": voice},
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE},
        }
        self.key: Hashable = (connection.base_url, str(self._body))

    def stream(self, text: str) -> AsyncGenerator[bytes]:
        """PCM at 8 kHz. Raises VendorError."""
        return self._connection.audio("tts/bytes", json={**self._body, "transcript": text})


class DeepgramSource:
    """https://developers.deepgram.com/reference/text-to-speech/speak-request; voices are models: `aura-2-thalia-en`."""

    def __init__(self, connection: Connection, voice: str, options: Mapping[str, Any]) -> None:
        ours = {"model": voice, "encoding": "linear16", "sample_rate": SAMPLE_RATE, "container": "none"}
        self._connection = connection
        self._path = "speak?" + urlencode({**options, **ours})
        self.key: Hashable = (connection.base_url, self._path)

    def stream(self, text: str) -> AsyncGenerator[bytes]:
        """PCM at 8 kHz. Raises VendorError."""
        return self._connection.audio(self._path, json={"text": text})


class OpenAiSource:
    """https://platform.openai.com/docs/api-reference/audio/createSpeech; its PCM comes at 24 kHz."""

    def __init__(self, connection: Connection, model: str, voice: str, options: Mapping[str, Any]) -> None:
        self._connection = connection
        self._body = {**options, "model": model, "voice": voice, "response_format": "pcm"}
        self.key: Hashable = (connection.base_url, str(self._body))

    async def stream(self, text: str) -> AsyncGenerator[bytes]:
        """PCM at 8 kHz. Raises VendorError."""
        resampler = soxr.ResampleStream(OPENAI_HZ, SAMPLE_RATE, 1, dtype="int16")
        rest = b""
        async with aclosing(self._connection.audio("audio/speech", json={**self._body, "input": text})) as chunks:
            async for chunk in chunks:
                joined = rest + chunk
                samples = np.frombuffer(joined[: len(joined) & ~1], "<i2")
                rest = joined[len(joined) & ~1 :]
                yield resampler.resample_chunk(samples).tobytes()
        yield resampler.resample_chunk(np.empty(0, "<i2"), last=True).tobytes()
