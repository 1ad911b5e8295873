"""Voices and their previews."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog
from cachetools import TTLCache

from project_service.voices.catalogue import CatalogueEntry, catalogue
from project_service.voices.errors import PreviewUnavailableError, VoiceNotFoundError
from project_service.voices.schemas import Voice
from shared.fair_places import FairPlaces, NoPlaceError
from shared.ids import new_id

log = structlog.get_logger(__name__)

RENDER_COMMAND = (sys.executable, "-m", "project_service", "render-preview")
# Together less than the 60 s that the gateway waits.
RENDER_TIMEOUT = timedelta(seconds=30)
PATIENCE_SECONDS = 20.0


def render_places() -> FairPlaces:
    """One voice at a time: the engine is larger than this whole service. Anybody may ask, so few may wait."""
    return FairPlaces(1, waiting=32, of_one=16, patience_seconds=PATIENCE_SECONDS)


def failures() -> TTLCache[str, None]:
    """Voices whose preview could not be rendered, until the time at which clients are told to try again."""
    return TTLCache(100, PreviewUnavailableError.retry_after_seconds)


@dataclass(frozen=True, slots=True)
class Voices:
    """The catalogue, and previews that are rendered at the first request and kept in `previews`."""

    public_url: str
    previews: Path
    command: Sequence[str] = RENDER_COMMAND
    timeout: timedelta = RENDER_TIMEOUT
    places: FairPlaces = field(default_factory=render_places)
    failed: TTLCache[str, None] = field(default_factory=failures)

    def all(self) -> list[Voice]:
        return [self._voice(entry) for entry in catalogue().values()]

    def get(self, voice_id: str) -> Voice:
        """Raises VoiceNotFoundError."""
        return self._voice(self._entry(voice_id))

    async def preview(self, voice_id: str) -> Path:
        """The WAV file of a voice; one is rendered at a time, in a short-lived process.

        Raises:
            VoiceNotFoundError
            PreviewUnavailableError: it could not be rendered here, or too many wait for one already.
        """
        entry = self._entry(voice_id)
        path = self.previews / f"{entry.voice_id}.wav"
        if not await asyncio.to_thread(path.exists):
            try:
                async with self.places.place(voice_id):
                    await self._render_once(entry, path)
            except NoPlaceError:
                raise PreviewUnavailableError("Too many wait for a preview that is not rendered yet.") from None
        return path

    async def _render_once(self, entry: CatalogueEntry, path: Path) -> None:
        if entry.voice_id in self.failed:
            raise PreviewUnavailableError
        if not await asyncio.to_thread(path.exists):  # since this one waits
            try:
                await self._render(entry, path)
            except PreviewUnavailableError:
                self.failed[entry.voice_id] = None
                raise

    async def _render(self, entry: CatalogueEntry, path: Path) -> None:
        await asyncio.to_thread(path.parent.mkdir, parents=True, exist_ok=True)
        draft = path.with_name(f".{new_id()}.wav")
        try:
            await self._run(entry.voice_id, str(draft))
            await asyncio.to_thread(draft.replace, path)
        finally:
            await asyncio.to_thread(draft.unlink, missing_ok=True)

    async def _run(self, *arguments: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *self.command, *arguments, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(self.timeout.total_seconds()):
                _, errors = await process.communicate()
        except TimeoutError:
            raise PreviewUnavailableError from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode:
            log.warning("preview_not_rendered", errors=errors.decode(errors="replace")[-500:])
            raise PreviewUnavailableError

    @staticmethod
    def _entry(voice_id: str) -> CatalogueEntry:
        try:
            return catalogue()[voice_id]
        except KeyError:
            raise VoiceNotFoundError from None

    def _voice(self, entry: CatalogueEntry) -> Voice:
        url = f"{self.public_url.rstrip('/')}/voices/{entry.voice_id}/preview.wav"
        return Voice(**entry.model_dump(exclude={"model", "speed"}), preview_url=url)
