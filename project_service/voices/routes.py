"""`/voices/*`."""

from aiohttp import web

from project_service.voices.errors import PreviewUnavailableError, VoiceNotFoundError
from project_service.voices.schemas import VoiceAnswer, VoiceList
from project_service.voices.service import Voices
from shared.endpoints import Context, Router
from shared.scopes import Scope

router = Router("Voices")
VOICES = web.AppKey("voices", Voices)


@router.add("GET", "/voices", scope=Scope.PROJECTS_READ, answer=VoiceList)
async def list_voices(ctx: Context[None]) -> VoiceList:
    """The voices that agents can speak with."""
    return VoiceList(voices=ctx.request.app[VOICES].all())


@router.add("GET", "/voices/{voice_id}", scope=Scope.PROJECTS_READ, answer=VoiceAnswer, errors=[VoiceNotFoundError])
async def get_voice(ctx: Context[None]) -> VoiceAnswer:
    """One voice."""
    return VoiceAnswer(voice=ctx.request.app[VOICES].get(ctx.path("voice_id")))


@router.add(
    "GET",
    "/voices/{voice_id}/preview.wav",
    auth="none",
    content_type="audio/wav",
    errors=[VoiceNotFoundError, PreviewUnavailableError],
)
async def get_voice_preview(ctx: Context[None]) -> web.FileResponse:
    """A sentence spoken by this voice, as a WAV file; a player may ask for ranges."""
    path = await ctx.request.app[VOICES].preview(ctx.path("voice_id"))
    return web.FileResponse(path, headers={"Content-Type": "audio/wav", "Cache-Control": "public, max-age=86400"})
