"""Verifies access tokens: RFC 9068 JWTs, signed with Ed25519 by auth_service."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cachetools import TLRUCache, TTLCache

from gateway.keys import ALGORITHM, PublicKeys
from shared.errors import UnauthorizedError
from shared.tokens import Principal

MAX_LENGTH = 4096
TYPE = "at+jwt"
CLOCK_LEEWAY = timedelta(seconds=5)  # machines whose clocks differ
REQUIRED_CLAIMS = ["iss", "aud", "sub", "sid", "exp", "jti"]
# Longer than an access token lives (2 h), so that a revoked session is remembered until its tokens are over.
REVOKED_SECONDS = 3 * 3600
_CACHED_TOKENS = 50_000
_REVOKED_SESSIONS = 100_000


class InvalidAccessTokenError(UnauthorizedError):
    """The access token is malformed, expired or revoked; log in again or refresh it."""

    code = "invalid_token"


@dataclass(frozen=True, slots=True)
class _Verified:
    principal: Principal
    expires_at: float


class AccessTokens:
    """Verifies each token once and remembers it, under its SHA-256, until it expires."""

    def __init__(self, keys: PublicKeys, issuer: str, audience: str, now: Callable[[], datetime]) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._verified: TLRUCache[bytes, _Verified] = TLRUCache(
            _CACHED_TOKENS, ttu=lambda _key, item, _now: item.expires_at, timer=lambda: now().timestamp()
        )
        self._revoked: TTLCache[str, None] = TTLCache(_REVOKED_SESSIONS, REVOKED_SECONDS, lambda: now().timestamp())

    async def verify(self, token: str) -> Principal:
        """Whose token it is.

        Raises:
            InvalidAccessTokenError: it is malformed, forged, expired, revoked or for somebody else.
            UnavailableError: it is signed with a key that can't be fetched now.
        """
        if len(token) > MAX_LENGTH or not token.isascii():
            raise InvalidAccessTokenError
        digest = hashlib.sha256(token.encode()).digest()
        verified = self._verified.get(digest)
        if verified is None:
            verified = self._verified[digest] = await self._verify(token)
        if self.is_revoked(verified.principal.session_id):
            raise InvalidAccessTokenError
        return verified.principal

    def is_revoked(self, session_id: str | None) -> bool:
        """Has this session ended?"""
        return session_id in self._revoked

    def revoke_session(self, session_id: str) -> None:
        """From now on no token of this session is accepted."""
        self._revoked[session_id] = None

    async def _verify(self, token: str) -> _Verified:
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM or header.get("typ") != TYPE:
                raise InvalidAccessTokenError
            key = await self._keys.get(str(header.get("kid")))
            if key is None:
                raise InvalidAccessTokenError
            claims = self._decode(token, key)
            return _Verified(_principal(claims), float(claims["exp"]))
        except (jwt.PyJWTError, TypeError, ValueError) as error:
            raise InvalidAccessTokenError from error

    def _decode(self, token: str, key: Any) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            issuer=self._issuer,
            audience=self._audience,
            leeway=CLOCK_LEEWAY,
            # A clock that is ahead at auth_service alone must not lock everybody out: `exp` is what counts (RFC 7519).
            options={"require": REQUIRED_CLAIMS, "verify_iat": False},
        )


def _principal(claims: dict[str, Any]) -> Principal:
    return Principal(str(claims["sub"]), "token", str(claims["sid"]), tuple(str(claims.get("scope", "")).split()))
