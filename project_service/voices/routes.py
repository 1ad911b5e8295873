"""`/voices/*`."""

from aiohttp import web

from project_service.errors import ProjectNotFoundError
from project_service.provider_keys.errors import ProviderKeyNotFoundError
from project_service.voices.errors import PreviewUnavailableError, VendorVoicesUnavailableError, VoiceNotFoundError
from project_service.voices.schemas import VoiceAnswer, VoiceList, VoicesQuery
from project_service.voices.service import Voices
from project_service.voices.vendors import VendorVoices
from shared.endpoints import Context, Router, unprocessable
from shared.scopes import Scope

router = Router("Voices")
VOICES = web.AppKey("voices", Voices)
VENDOR_VOICES = web.AppKey("vendor_voices", VendorVoices)


@router.add(
    "GET",
    "/voices",
    scope=Scope.PROJECTS_READ,
    query=VoicesQuery,
    answer=VoiceList,
    errors=[ProjectNotFoundError, ProviderKeyNotFoundError, VendorVoicesUnavailableError],
    invalid=unprocessable,
)
async def list_voices(ctx: Context[None]) -> VoiceList:
    """The voices that agents can speak with."""
    query = ctx.query(VoicesQuery, unprocessable)
    if query.provider == "hibari":
        return VoiceList(voices=ctx.request.app[VOICES].all())
    project = str(query.project_id) if query.project_id else None
    return VoiceList(voices=await ctx.request.app[VENDOR_VOICES].of(ctx.tenant, project, query.provider))


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
