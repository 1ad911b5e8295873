"""Proves that an e-mail address belongs to who registered it."""

from datetime import timedelta

from aiohttp import web

from auth_service.accounts import events
from auth_service.accounts import repository as accounts
from auth_service.accounts.repository import User, id_of
from auth_service.audit import repository as audit
from auth_service.audit.events import Action
from auth_service.fields import address_key
from auth_service.mail import messages
from auth_service.resources import Resources
from auth_service.throttles import repository as throttles
from auth_service.throttles.errors import TooManyAttemptsError
from auth_service.throttles.policy import Policy
from auth_service.verification import repository
from auth_service.verification.codes import LIFETIME, TRIES, IssuedCode, Verdict, judge, new_code
from auth_service.verification.errors import (
    AlreadyVerifiedError,
    CodeExpiredError,
    NeverRegisteredError,
    WrongCodeError,
)
from auth_service.verification.repository import Purpose
from shared.client import Client
from shared.db import Tx

MAILS = Policy(free=4, base=timedelta(seconds=30), cap=timedelta(hours=1), forgotten_after=timedelta(hours=12))


class VerificationService:
    """Issues and checks the six-digit codes."""

    def __init__(self, resources: Resources) -> None:
        self._r = resources

    async def issue(self, tx: Tx, email: str, user: User | None) -> None:
        """Mail a new code, which ends the one before. Without a user the same work is done and nothing is sent."""
        code = new_code()
        expires_at = self._r.clock.now() + LIFETIME
        issued = IssuedCode(self._r.secrets.hash("code", address_key(email), code), TRIES, expires_at)
        await repository.put(tx, self._address(email), Purpose.VERIFY_EMAIL, issued, id_of(user))
        await self._r.mail.add(tx, messages.verification_code(user.email if user else "", code), LIFETIME)

    async def resend(self, email: str, client: Client) -> None:
        """Mail another code to an address that waits for it.

        Raises:
            TooManyAttemptsError: too many codes were asked for.
            NeverRegisteredError, AlreadyVerifiedError: only with AUTH_REVEAL_ACCOUNTS.
        """
        now = self._r.clock.now()
        async with self._r.db.transaction() as tx:
            wait = await throttles.attempt(tx, self._r.secrets.hash("resend", address_key(email)), MAILS, now)
            if not wait:
                user = await accounts.by_email(tx, email)
                await self.issue(tx, email, None if user is None or user.is_verified else user)
                await audit.record(tx, Action.CODE_REQUESTED, id_of(user), client, now)
        if wait:
            raise TooManyAttemptsError(wait)
        if self._r.settings.auth_reveal_accounts:
            _waiting(user)

    async def verify(self, email: str, code: str, client: Client) -> User:
        """Mark the address as verified.

        Raises:
            NeverRegisteredError, AlreadyVerifiedError, WrongCodeError, CodeExpiredError: as they say.
        """
        async with self._r.db.transaction() as tx:
            user = _waiting(await accounts.by_email_for_update(tx, email))
            verdict = await self._redeem(tx, email, code)
            if verdict is Verdict.RIGHT:
                await self.mark_verified(tx, user, client)
        # Outside: a wrong try must be counted although the request fails.
        if verdict is Verdict.RIGHT:
            return user
        raise WrongCodeError if verdict is Verdict.WRONG else CodeExpiredError

    async def mark_verified(self, tx: Tx, user: User, client: Client) -> None:
        """Whoever reads the mails of this address owns the account from now on."""
        now = self._r.clock.now()
        if await accounts.set_verified(tx, user.id, now):
            await events.user_registered(tx, user.id)
            await audit.record(tx, Action.EMAIL_VERIFIED, user.id, client, now)

    async def _redeem(self, tx: Tx, email: str, code: str) -> Verdict:
        key = address_key(email)
        addresses, codes = self._r.secrets.hashes("address", key), self._r.secrets.hashes("code", key, code)
        for address, given in zip(addresses, codes, strict=True):
            if issued := await repository.lock(tx, address, Purpose.VERIFY_EMAIL):
                return await self._judge(tx, address, issued, given)
        return Verdict.DEAD

    async def _judge(self, tx: Tx, address: bytes, issued: IssuedCode, given: bytes) -> Verdict:
        verdict = judge(issued, given, self._r.clock.now())
        if verdict is Verdict.RIGHT:
            await repository.delete(tx, address, Purpose.VERIFY_EMAIL)
        elif verdict is Verdict.WRONG:
            await repository.count_try(tx, address, Purpose.VERIFY_EMAIL)
        return verdict

    def _address(self, email: str) -> bytes:
        return self._r.secrets.hash("address", address_key(email))


def _waiting(user: User | None) -> User:
    if user is None:
        raise NeverRegisteredError
    if user.is_verified:
        raise AlreadyVerifiedError
    return user


VERIFICATION = web.AppKey("verification", VerificationService)
