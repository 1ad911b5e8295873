"""API keys: made, listed, revoked, verified."""

import secrets

from aiohttp import web

from auth_service.accounts import repository as accounts
from auth_service.api_keys import events, repository
from auth_service.api_keys.errors import ApiKeyNotFoundError, InvalidApiKeyError, TooManyApiKeysError
from auth_service.api_keys.key_format import hint, is_well_formed, key_hash, make_key
from auth_service.api_keys.repository import ApiKey, Revoked
from auth_service.api_keys.schemas import CreateKey
from auth_service.api_keys.usage import KeyUsage
from auth_service.audit import repository as audit
from auth_service.audit.events import Action
from auth_service.mail import messages
from auth_service.resources import Resources
from shared.client import Client
from shared.db import Tx
from shared.errors import UnauthorizedError
from shared.ids import new_id

MAX_KEYS = 100
DEFAULT = CreateKey(name="default")


class ApiKeyService:
    """Keys of customers."""

    def __init__(self, resources: Resources, usage: KeyUsage) -> None:
        self._r = resources
        self._usage = usage

    async def replace_default(self, user_id: str, client: Client) -> str:
        """Make a new default key; the one before is revoked.

        Raises:
            UnauthorizedError: the account is gone.
        """
        async with self._r.db.transaction() as tx:
            await repository.lock_keys_of(tx, user_id)
            await self._revoke(tx, user_id, None, client)
            _, secret = await self._add(tx, user_id, DEFAULT, client, is_default=True)
        return secret

    async def create(self, user_id: str, wanted: CreateKey, client: Client) -> tuple[ApiKey, str]:
        """Make a further key; the key and its secret.

        Raises:
            TooManyApiKeysError: there are 100.
            UnauthorizedError: the account is gone.
        """
        async with self._r.db.transaction() as tx:
            await repository.lock_keys_of(tx, user_id)
            if len(await repository.of_user(tx, user_id)) >= MAX_KEYS:
                raise TooManyApiKeysError
            return await self._add(tx, user_id, wanted, client, is_default=False)

    async def list(self, user_id: str) -> list[ApiKey]:
        async with self._r.db.connection() as connection:
            return await repository.of_user(connection, user_id)

    async def revoke(self, user_id: str, key_id: str, client: Client) -> None:
        """Raises ApiKeyNotFoundError when there is no such key, or it is somebody else's."""
        async with self._r.db.transaction() as tx:
            revoked = await self._revoke(tx, user_id, key_id, client)
            if revoked is None:
                raise ApiKeyNotFoundError
            user = await accounts.by_id(tx, user_id)
            assert user is not None
            await self._r.mail.add(tx, messages.api_key_revoked(user.email, revoked.name))

    async def verify(self, key: str) -> ApiKey:
        """Raises InvalidApiKeyError; a key with a wrong checksum never reaches the database."""
        if not is_well_formed(key):
            raise InvalidApiKeyError
        found = await repository.find_valid(self._r.db, key_hash(key), self._r.clock.now())
        if found is None:
            raise InvalidApiKeyError
        self._usage.note(found.id)
        return found

    async def _add(
        self, tx: Tx, user_id: str, wanted: CreateKey, client: Client, *, is_default: bool
    ) -> tuple[ApiKey, str]:
        user = await accounts.by_id(tx, user_id)
        if user is None:
            raise UnauthorizedError
        now, secret = self._r.clock.now(), make_key(secrets.token_bytes(32))
        scopes = [scope.value for scope in wanted.scopes]
        key = ApiKey(new_id(), user_id, wanted.name, hint(secret), scopes, is_default, now, wanted.expires_at)
        await repository.add(tx, key, key_hash(secret))
        await self._r.mail.add(tx, messages.api_key_created(user.email, key.name, replaces_default=is_default))
        await audit.record(tx, Action.API_KEY_CREATED, user_id, client, now, key_id=key.id)
        return key, secret

    async def _revoke(self, tx: Tx, user_id: str, key_id: str | None, client: Client) -> Revoked | None:
        now = self._r.clock.now()
        revoked = await repository.revoke(tx, user_id, now, key_id)
        if revoked is not None:
            await events.api_key_revoked(tx, revoked.id, user_id, revoked.hash)
            await audit.record(tx, Action.API_KEY_REVOKED, user_id, client, now, key_id=revoked.id)
        return revoked


API_KEYS = web.AppKey("api_keys", ApiKeyService)
