"""The public keys of the access tokens."""

from aiohttp import web

from auth_service.keys.schemas import JwkSet
from auth_service.keys.service import KEY_RING
from shared.endpoints import Context, Router
from shared.envelope import json_response

router = Router("Authentication")


@router.add("GET", "/.well-known/jwks.json", auth="none", answer=JwkSet)
async def get_jwks(ctx: Context[None]) -> web.StreamResponse:
    """Get the public keys of the access tokens."""
    keys = ctx.request.app[KEY_RING].public_keys()
    return json_response(keys, headers={"Cache-Control": "public, max-age=300"})
