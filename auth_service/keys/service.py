"""The key ring of a process: signs access tokens, publishes the public keys, keeps two keys always."""

import asyncio
import base64
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import asyncpg
import jwt
import structlog
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auth_service.keys import repository
from auth_service.keys.errors import SealedWithAnotherKeyError
from auth_service.keys.rotation import SigningKey, due, outdated, signer
from auth_service.keys.schemas import Jwk, JwkSet
from shared.clock import Clock
from shared.db import Database
from shared.errors import ApiError
from shared.ids import new_id
from shared.secret_box import SecretBox

log = structlog.get_logger(__name__)

RELOAD_SECONDS = 60.0


class KeyRing:
    """`refresh` must have run once before anything is signed."""

    def __init__(self, db: Database, box: SecretBox, clock: Clock, lifetime: timedelta) -> None:
        self._db = db
        self._box = box
        self._clock = clock
        self._lifetime = lifetime
        self._keys: list[SigningKey] = []

    async def refresh(self) -> None:
        """Make the keys that are due, delete those nobody needs, and load the rest.

        Raises:
            SealedWithAnotherKeyError: ENCRYPTION_KEY is not the one they were sealed with.
        """
        now = self._clock.now()
        async with self._db.transaction() as tx:
            await repository.lock(tx)
            starts = await repository.starts(tx)
            for signs_from in due(starts, now, self._lifetime):
                await repository.add(tx, self._box, SigningKey(new_id(), Ed25519PrivateKey.generate(), signs_from))
            await repository.delete(tx, outdated(starts, now))
            try:
                self._keys = await repository.load(tx, self._box)
            except InvalidTag as error:
                raise SealedWithAnotherKeyError from error

    async def run(self) -> None:
        """Until cancelled: stay in step with the other replicas."""
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            try:
                await self.refresh()
            except (ApiError, asyncpg.PostgresError):
                log.warning("signing keys not reloaded", exc_info=True)

    def sign(self, claims: Mapping[str, Any]) -> str:
        """A JWT access token (RFC 9068)."""
        key = signer(self._keys, self._clock.now())
        headers = {"kid": key.kid, "typ": "at+jwt"}
        return jwt.encode(dict(claims), key.private_key, algorithm="EdDSA", headers=headers)

    def public_keys(self) -> JwkSet:
        """RFC 7517 and 8037: the key that signs, the next one, and those whose tokens may still be valid."""
        return JwkSet(keys=[_jwk(key) for key in self._keys])


def _jwk(key: SigningKey) -> Jwk:
    raw = key.private_key.public_key().public_bytes_raw()
    return Jwk(kid=key.kid, x=base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


KEY_RING = web.AppKey("key_ring", KeyRing)
