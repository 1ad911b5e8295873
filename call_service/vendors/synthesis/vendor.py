"""A sentence of speech from a vendor, as the voice loop wants it: PCM at 8 kHz, repeated texts from a cache."""

from collections.abc import AsyncGenerator, Hashable, MutableMapping
from contextlib import aclosing
from typing import Protocol

from cachetools import LRUCache

from call_service.vendors.errors import VendorProtocolError, VendorRejectedError
from call_service.vendors.usage import Meter
from call_service.voice.engines.spoken import without_markup
from call_service.voice.synthesis import InPieces

CACHE_BYTES = 16 * 1024 * 1024
# Of one entry: half a minute. What is longer is hardly said twice.
MAX_CACHED_BYTES = 480_000

SpeechCache = MutableMapping[Hashable, bytes]


def new_cache() -> SpeechCache:
    """Bounded, for all calls of a worker; the keys hold vendor, model and voice."""
    return LRUCache(CACHE_BYTES, getsizeof=len)


class SpeechSource(Protocol):
    """One vendor's synthesis with one voice. `key` tells voices apart."""

    key: Hashable

    def stream(self, text: str) -> AsyncGenerator[bytes]:
        """PCM at 8 kHz as it comes, in pieces of any size. Raises VendorError."""


class VendorSynthesizer(InPieces):
    """A `Synthesizer` with the voice that the source was made with."""

    def __init__(self, source: SpeechSource, meter: Meter, cache: SpeechCache) -> None:
        self._source = source
        self._meter = meter
        self._cache = cache

    async def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:  # noqa: ARG002 - that is the local voice
        """PCM of one sentence as it comes, in whole samples. Raises VendorError, also when no sound came."""
        spoken = without_markup(text)
        if not spoken:
            raise VendorRejectedError("tts", "the text holds nothing that can be spoken")
        key = (self._source.key, spoken)
        if (known := self._cache.get(key)) is not None:
            yield known
            return
        self._meter.count("characters", len(spoken))
        whole = bytearray()
        async with aclosing(_whole_samples(self._source.stream(spoken))) as pieces:
            async for piece in pieces:
                whole += piece
                yield piece
        if not whole:
            raise VendorProtocolError("tts", "no audio")
        if len(whole) <= MAX_CACHED_BYTES:
            self._cache[key] = bytes(whole)


async def _whole_samples(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    rest = b""
    async with aclosing(pieces):
        async for piece in pieces:
            joined = rest + piece
            rest = joined[len(joined) & ~1 :]
            if len(joined) > 1:
                yield joined[: len(joined) & ~1]
