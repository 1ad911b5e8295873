"""Phrases that are ready before they are needed: they can be said when every engine is broken."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from datetime import timedelta
from itertools import cycle

from call_service.voice.brain.sentences import split_sentences
from call_service.voice.options import Phrases
from call_service.voice.ports import Synthesizer
from call_service.voice.synthesis import InPieces


class Stock(InPieces):
    """A `Synthesizer` in front of another that has some phrases of one call already."""

    def __init__(self, synthesizer: Synthesizer, voice_id: str, phrases: Phrases) -> None:
        self._synthesizer = synthesizer
        self._voice_id = voice_id
        self._phrases = phrases
        self._ready: dict[str, bytes] = {}
        self._fillers: Iterator[str] = cycle(phrases.fillers)

    async def prepare(self, delay: timedelta) -> None:
        """Have the fillers and last words spoken, behind what the call begins with; what fails is missing."""
        await asyncio.sleep(delay.total_seconds())
        last_words = (sentence for phrase in self._phrases.last_words for sentence in split_sentences(phrase))
        for text in (*self._phrases.fillers, *last_words):
            with suppress(Exception):
                self._ready[text] = await self._synthesizer.synthesize(text, self._voice_id)

    async def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:
        """Raises EngineError: stage `tts`."""
        if ready := self._ready.get(text):
            yield ready
            return
        async with aclosing(self._synthesizer.stream(text, voice_id)) as pieces:
            async for piece in pieces:
                yield piece

    def next_filler(self) -> tuple[str, bytes] | None:
        """Another filler and its audio, each time a different one; None when there is none."""
        if not self._ready:
            return None
        text = next(self._fillers)
        return (text, self._ready[text]) if text in self._ready else None
