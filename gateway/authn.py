"""Who sends a request, by its credentials, and how the services are told."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from cachetools import TTLCache

from gateway.access_tokens import AccessTokens, InvalidAccessTokenError
from gateway.api_keys import ApiKeys, sha256_of
from shared.errors import UnauthorizedError
from shared.tokens import InternalTokens, Principal

# A third of an internal token's life, so that one taken from the cache has 20 s left.
_SIGNED_SECONDS = 10
_CACHED_SIGNATURES = 50_000


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a request speaks for, and of the API key if it came with one: its id and its end."""

    principal: Principal
    key_id: str | None = None
    expires_at: datetime | None = None


class Authenticator:
    """Verifies the credentials of requests; an access token counts before an API key."""

    def __init__(self, access_tokens: AccessTokens, api_keys: ApiKeys) -> None:
        self._access_tokens = access_tokens
        self._api_keys = api_keys

    async def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Verify the credentials of a request.

        Raises:
            UnauthorizedError: there are no credentials, or bad ones.
            UnavailableError, BadGatewayError, GatewayTimeoutError: auth_service is needed and gave no answer.
        """
        authorization = headers.get("Authorization")
        if authorization is not None:
            scheme, _, token = authorization.partition(" ")
            if scheme.lower() != "bearer":
                raise InvalidAccessTokenError
            return Caller(await self._access_tokens.verify(token.strip()))
        key = headers.get("x-api-key")
        if key is None:
            raise UnauthorizedError
        owner = await self._api_keys.verify(key)
        principal = Principal(owner.user_id, "api_key", None, tuple(owner.scopes), sha256_of(key))
        return Caller(principal, owner.key_id, owner.expires_at)


class Signatures:
    """Internal tokens, each used for the requests of one principal in ten seconds: signing takes 20 µs."""

    def __init__(self, tokens: InternalTokens, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tokens = tokens
        self._signed: TTLCache[Principal | None, str] = TTLCache(_CACHED_SIGNATURES, _SIGNED_SECONDS, monotonic)

    def of(self, principal: Principal | None) -> str:
        """The internal token for a principal, or for an anonymous request."""
        signed = self._signed.get(principal)
        if signed is None:
            signed = self._signed[principal] = self._tokens.sign(principal)
        return signed
