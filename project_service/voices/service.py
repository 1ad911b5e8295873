"""Voices and their previews."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import structlog

from project_service.voices.catalogue import CatalogueEntry, catalogue
from project_service.voices.errors import PreviewUnavailableError, VoiceNotFoundError
from project_service.voices.schemas import Voice
from shared.ids import new_id

log = structlog.get_logger(__name__)

RENDER_COMMAND = (sys.executable, "-m", "project_service", "render-preview")
RENDER_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Voices:
    """The catalogue, and previews that are rendered at the first request and kept in `previews`."""

    public_url: str
    previews: Path
    command: Sequence[str] = RENDER_COMMAND
    timeout: timedelta = RENDER_TIMEOUT
    _rendering: asyncio.Lock = field(default_factory=asyncio.Lock)

    def all(self) -> list[Voice]:
        return [self._voice(entry) for entry in catalogue().values()]

    def get(self, voice_id: str) -> Voice:
        """Raises VoiceNotFoundError."""
        return self._voice(self._entry(voice_id))

    async def preview(self, voice_id: str) -> Path:
        """The WAV file of a voice; one is rendered at a time, in a short-lived process.

        Raises:
            VoiceNotFoundError
            PreviewUnavailableError: it could not be rendered here.
        """
        entry = self._entry(voice_id)
        path = self.previews / f"{entry.voice_id}.wav"
        async with self._rendering:
            if not await asyncio.to_thread(path.exists):
                await self._render(entry, path)
        return path

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
