"""The two kinds of synthesis: an engine that has a sentence all at once, and one whose sentences come in pieces."""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator


class InOnePiece(ABC):
    """A `Synthesizer` that makes whole sentences."""

    @abstractmethod
    async def synthesize(self, text: str, voice_id: str) -> bytes:
        """PCM of one sentence."""

    async def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:
        """The same."""
        yield await self.synthesize(text, voice_id)


class InPieces(ABC):
    """A `Synthesizer` whose sentences can be heard before they are complete."""

    @abstractmethod
    def stream(self, text: str, voice_id: str) -> AsyncGenerator[bytes]:
        """PCM of one sentence as it comes, in whole samples."""

    async def synthesize(self, text: str, voice_id: str) -> bytes:
        """All of it."""
        return b"".join([piece async for piece in self.stream(text, voice_id)])
