"""Sign-up and passwords."""

import hashlib
import secrets
from datetime import timedelta

from aiohttp import web

from auth_service.accounts import repository
from auth_service.accounts.errors import AlreadyRegisteredError, InvalidResetTokenError, WrongPasswordError
from auth_service.accounts.repository import User, id_of
from auth_service.audit import repository as audit
from auth_service.audit.events import Action
from auth_service.fields import address_key
from auth_service.mail import messages
from auth_service.passwords.errors import WeakPasswordError
from auth_service.passwords.policy import is_guessable, load_common_passwords
from auth_service.resources import Resources
from auth_service.sessions.service import SessionService
from auth_service.throttles import repository as throttles
from auth_service.throttles.errors import TooManyAttemptsError
from auth_service.throttles.policy import Policy
from auth_service.verification import repository as one_time
from auth_service.verification.codes import IssuedCode
from auth_service.verification.repository import Purpose
from auth_service.verification.service import MAILS, VerificationService
from shared.client import Client
from shared.db import Tx
from shared.errors import UnauthorizedError
from shared.ids import new_id

RESET_LIFETIME = timedelta(minutes=30)
OLD_PASSWORDS = Policy(free=5, base=timedelta(seconds=1), cap=timedelta(minutes=15))


class AccountService:
    """Accounts from sign-up on."""

    def __init__(self, resources: Resources, verification: VerificationService, sessions: SessionService) -> None:
        self._r = resources
        self._verification = verification
        self._sessions = sessions
        self._common_passwords = load_common_passwords()

    async def sign_up(self, email: str, password: str, name: str, client: Client) -> User:
        """Make an account and mail its verification code.

        Raises:
            WeakPasswordError: the password is common, or about the account.
            AlreadyRegisteredError: the address has an account.
            HasherBusyError: too many people sign up at this moment.
        """
        if is_guessable(password, email, name, self._common_passwords):
            raise WeakPasswordError(signupStatus=4)
        now = self._r.clock.now()
        password_hash = await self._r.passwords.hash(password)
        user = User(new_id(), email, name, None, password_hash, None, None, now, now)
        async with self._r.db.transaction() as tx:
            if not await repository.add(tx, user):
                raise AlreadyRegisteredError
            await self._verification.issue(tx, email, user)
            await audit.record(tx, Action.SIGNED_UP, user.id, client, now)
        return user

    async def get(self, user_id: str) -> User:
        """Raises UnauthorizedError when the account is gone."""
        async with self._r.db.connection() as connection:
            user = await repository.by_id(connection, user_id)
        if user is None:
            raise UnauthorizedError
        return user

    async def change_password(self, user_id: str, session_id: str | None, old: str, new: str, client: Client) -> None:
        """Set a new password and end every session but this one.

        Raises:
            WrongPasswordError: `old` is not the password.
            WeakPasswordError: `new` is common, or about the account.
            TooManyAttemptsError: too many wrong ones.
        """
        user = await self.get(user_id)
        key = self._r.secrets.hash("old-password", user_id)
        await self._count(key, OLD_PASSWORDS)
        if not await self._r.passwords.verify(user.password_hash, old):
            raise WrongPasswordError
        self._refuse_guessable(new, user)
        password_hash = await self._r.passwords.hash(new)
        async with self._r.db.transaction() as tx:
            # What was verified takes a while, and the owner may have reset the password meanwhile.
            present = await repository.lock_password(tx, user_id)
            if not await self._r.passwords.is_still(user.password_hash, present, old):
                raise WrongPasswordError
            await throttles.forget(tx, key)
            await self._replace_password(tx, user, password_hash, Action.CREDENTIALS_CHANGED, client, but=session_id)

    async def forgot_password(self, email: str, client: Client) -> None:
        """Mail a link that sets a new password; for a stranger's address the same work is done and nothing is sent.

        Raises:
            TooManyAttemptsError: too many links were asked for.
        """
        await self._count(self._r.secrets.hash("forgot", address_key(email)), MAILS)
        now = self._r.clock.now()
        token = secrets.token_urlsafe(32)
        address = self._r.secrets.hash("address", address_key(email))
        async with self._r.db.transaction() as tx:
            user = await repository.by_email(tx, email)
            issued = IssuedCode(_hash(token), 1, now + RESET_LIFETIME)
            await one_time.put(tx, address, Purpose.RESET, issued, id_of(user))
            settings = self._r.settings
            recipient = user.email if user else ""
            mail = messages.password_reset(recipient, token, settings.reset_password_url, settings.public_url)
            await self._r.mail.add(tx, mail, RESET_LIFETIME)
            await audit.record(tx, Action.RESET_REQUESTED, id_of(user), client, now)

    async def reset_password(self, token: str, new: str, client: Client) -> None:
        """Set a new password with the token of a mail; who reads the mail has also verified the address.

        Raises:
            InvalidResetTokenError: invalid, used or expired.
            WeakPasswordError: `new` is common, or about the account; the token stays good.
        """
        password_hash = await self._r.passwords.hash(new)
        async with self._r.db.transaction() as tx:
            user_id = await one_time.take(tx, _hash(token), Purpose.RESET, self._r.clock.now())
            user = user_id and await repository.by_id(tx, user_id)
            if not user:
                raise InvalidResetTokenError
            self._refuse_guessable(new, user)
            await self._replace_password(tx, user, password_hash, Action.CREDENTIALS_RESET, client)
            await throttles.forget(tx, self._r.secrets.hash("old-password", user.id))
            await self._verification.mark_verified(tx, user, client)

    async def _count(self, key: bytes, policy: Policy) -> None:
        async with self._r.db.transaction() as tx:
            wait = await throttles.attempt(tx, key, policy, self._r.clock.now())
        if wait:
            raise TooManyAttemptsError(wait)

    def _refuse_guessable(self, password: str, user: User) -> None:
        if is_guessable(password, user.email, user.name, self._common_passwords):
            raise WeakPasswordError("newPassword")

    async def _replace_password(
        self, tx: Tx, user: User, password_hash: str, action: Action, client: Client, *, but: str | None = None
    ) -> None:
        now = self._r.clock.now()
        await repository.set_password(tx, user.id, password_hash, now)
        await self._sessions.end(tx, user.id, "password_changed", client, but=but)
        await self._r.mail.add(tx, messages.password_changed(user.email))
        await audit.record(tx, action, user.id, client, now)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


ACCOUNTS = web.AppKey("accounts", AccountService)
