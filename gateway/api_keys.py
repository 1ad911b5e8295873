"""Verifies API keys by asking auth_service, once for each key and a short time."""

import hashlib
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from cachetools import TTLCache
from pydantic import AwareDatetime, BaseModel, ValidationError

from shared.errors import BadGatewayError, UnauthorizedError
from shared.single_flight import SingleFlight

_FORM = re.compile(r"[!-~]{16,200}")
_CACHED_KEYS = 50_000

Ask = Callable[[str], Awaitable[tuple[int, Any]]]


def sha256_of(key: str) -> str:
    """What a key is known by, hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()


class InvalidApiKeyError(UnauthorizedError):
    """The API key is unknown, expired or revoked."""

    code = "invalid_api_key"


class KeyOwner(BaseModel):
    """What auth_service says of a valid key."""

    user_id: str
    key_id: str
    scopes: list[str] = []
    expires_at: AwareDatetime | None = None


class ApiKeys:
    """Positive and negative answers are kept under the key's SHA-256; requests for one key wait for one answer.

    `ask(key)` gives the status and body of auth_service's answer.
    """

    def __init__(self, ask: Ask, believed_seconds: float, refused_seconds: float, now: Callable[[], datetime]) -> None:
        self._ask = ask
        self._now = now
        self._owners: TTLCache[str, KeyOwner] = TTLCache(_CACHED_KEYS, believed_seconds, lambda: now().timestamp())
        self._refused: TTLCache[str, None] = TTLCache(_CACHED_KEYS, refused_seconds, lambda: now().timestamp())
        self._asking = SingleFlight[str, KeyOwner | None]()
        self._revocations = 0

    async def verify(self, key: str) -> KeyOwner:
        """Whose key it is.

        Raises:
            InvalidApiKeyError: nobody's, or no longer.
            UnavailableError, BadGatewayError, GatewayTimeoutError: auth_service gave no answer.
        """
        if not _FORM.fullmatch(key):
            raise InvalidApiKeyError
        digest = sha256_of(key)
        owner = self._owners.get(digest)
        if owner is None:
            asks = partial(self._ask_and_keep, key, digest)
            owner = None if digest in self._refused else await self._asking.run(digest, asks)
        if owner is None or (owner.expires_at is not None and owner.expires_at <= self._now()):
            raise InvalidApiKeyError
        return owner

    def revoke(self, key_sha256: str) -> None:
        """Forget this key at once; an answer that is on its way is not kept."""
        self._revocations += 1
        self._owners.pop(key_sha256, None)

    async def _ask_and_keep(self, key: str, digest: str) -> KeyOwner | None:
        revocations = self._revocations
        status, body = await self._ask(key)
        if status == HTTPStatus.NOT_FOUND:
            self._refused[digest] = None
            return None
        if status != HTTPStatus.OK:
            raise BadGatewayError(f"auth_service answered {status} to an API key.")
        try:
            owner = KeyOwner.model_validate(body)
        except ValidationError as error:
            raise BadGatewayError from error
        if revocations == self._revocations:
            self._owners[digest] = owner
        return owner
