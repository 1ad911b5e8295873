"""The public keys of auth_service (RFC 7517), so that access tokens are verified without asking it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.errors import ApiError, BadGatewayError, UnavailableError

log = structlog.get_logger(__name__)

ALGORITHM = "EdDSA"


class PublicKeys:
    """Fetches the keys in the background, and at once for a key id that it does not know.

    Forged key ids cost auth_service at most one request in `min_interval_seconds`.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[tuple[int, Any]]],
        *,
        min_interval_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._min_interval_seconds = min_interval_seconds
        self._monotonic = monotonic
        self._keys: dict[str, Ed25519PublicKey] = {}
        self._failure: ApiError | None = None
        self._fetched_at = float("-inf")
        self._lock = asyncio.Lock()

    async def get(self, key_id: str) -> Ed25519PublicKey | None:
        """The key, None when auth_service has none of this id.

        Raises:
            UnavailableError: the key is unknown and the latest attempt to fetch keys failed.
        """
        if key_id not in self._keys:
            await self._refresh_unless_recent(key_id)
        return self._keys.get(key_id)

    async def _refresh_unless_recent(self, key_id: str) -> None:
        async with self._lock:
            if key_id not in self._keys and self._monotonic() - self._fetched_at >= self._min_interval_seconds:
                await self._fetch_keys()
        if self._failure is not None and key_id not in self._keys:
            raise UnavailableError from self._failure

    async def refresh(self) -> bool:
        """Fetch the keys anew; False when that failed. What was fetched before stays in use."""
        async with self._lock:
            await self._fetch_keys()
        if self._failure is not None:
            log.warning("public_keys_not_fetched", cause=repr(self._failure))
        return self._failure is None

    async def _fetch_keys(self) -> None:
        self._fetched_at = self._monotonic()
        try:
            status, document = await self._fetch()
            if status != HTTPStatus.OK:
                raise BadGatewayError(f"auth_service answered {status}.")
            keys = jwt.PyJWKSet.from_dict(document)
        except ApiError as error:
            self._failure = error
        except (jwt.PyJWTError, AttributeError, TypeError) as error:
            self._failure = BadGatewayError(f"The key set is malformed: {error}")
        else:
            self._keys = {key.key_id: key.key for key in keys if key.key_id and isinstance(key.key, Ed25519PublicKey)}
            self._failure = None

    async def ping(self) -> None:
        """Raises UnavailableError while there are no keys."""
        if not self._keys:
            raise UnavailableError
