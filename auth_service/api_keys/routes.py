"""Endpoints of API keys."""

from dataclasses import asdict

from auth_service.api_keys.errors import ApiKeyNotFoundError, InvalidApiKeyError, TooManyApiKeysError
from auth_service.api_keys.schemas import CreateKey, KeyCreated, KeyGenerated, KeyList, KeyView, VerifiedKey, VerifyKey
from auth_service.api_keys.service import API_KEYS
from shared.client import client_of
from shared.endpoints import Context, Router, unprocessable
from shared.ids import is_id

router = Router("User")


@router.add("GET", "/user/generate-apikey", auth="token", answer=KeyGenerated)
async def generate_api_key(ctx: Context[None]) -> KeyGenerated:
    """Make a new default API key, in the place of the one before."""
    secret = await ctx.request.app[API_KEYS].replace_default(ctx.tenant, client_of(ctx.request))
    return KeyGenerated(api_key=secret)


@router.add("GET", "/user/api-keys", auth="token", answer=KeyList)
async def list_api_keys(ctx: Context[None]) -> KeyList:
    """List the API keys."""
    keys = await ctx.request.app[API_KEYS].list(ctx.tenant)
    return KeyList(data=[KeyView.model_validate(key) for key in keys])


@router.add(
    "POST",
    "/user/api-keys",
    idempotent=True,
    auth="token",
    body=CreateKey,
    answer=KeyCreated,
    status=201,
    errors=[TooManyApiKeysError],
    invalid=unprocessable,
)
async def create_api_key(ctx: Context[CreateKey]) -> KeyCreated:
    """Create an API key."""
    key, secret = await ctx.request.app[API_KEYS].create(ctx.tenant, ctx.body, client_of(ctx.request))
    return KeyCreated(**asdict(key), key=secret)


@router.add("DELETE", "/user/api-keys/{id}", auth="token", status=204, errors=[ApiKeyNotFoundError])
async def delete_api_key(ctx: Context[None]) -> None:
    """Revoke an API key."""
    if not is_id(ctx.path("id")):
        raise ApiKeyNotFoundError
    await ctx.request.app[API_KEYS].revoke(ctx.tenant, ctx.path("id"), client_of(ctx.request))


@router.add(
    "POST",
    "/internal/api-keys/verify",
    auth="internal",
    body=VerifyKey,
    answer=VerifiedKey,
    errors=[InvalidApiKeyError],
)
async def verify_api_key(ctx: Context[VerifyKey]) -> VerifiedKey:
    """Whose API key is this?"""
    key = await ctx.request.app[API_KEYS].verify(ctx.body.key)
    return VerifiedKey(user_id=key.user_id, key_id=key.id, scopes=key.scopes, expires_at=key.expires_at)
