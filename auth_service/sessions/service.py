"""Log-in, refresh and the end of sessions."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from aiohttp import web

from auth_service.accounts import repository as accounts
from auth_service.accounts.repository import User, id_of
from auth_service.audit import repository as audit
from auth_service.audit.events import Action
from auth_service.fields import address_key
from auth_service.keys.rotation import ACCESS_TOKEN_LIFETIME
from auth_service.mail import messages
from auth_service.resources import Resources
from auth_service.sessions import events, repository
from auth_service.sessions.errors import (
    EmailNotVerifiedError,
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    RefreshTokenReusedError,
    SessionNotFoundError,
    UnknownUserError,
    UserGoneError,
)
from auth_service.sessions.refresh import Fate, fate, open_successor, seal_successor
from auth_service.sessions.repository import Session
from auth_service.throttles import repository as throttles
from auth_service.throttles.errors import TooManyAttemptsError
from auth_service.throttles.policy import Policy
from shared.client import Client
from shared.db import Record, Tx
from shared.ids import new_id

MOST_REVOKED = 100_000
# A program that logs in every minute leaves its older sessions behind: those used least lately end.
MOST_SESSIONS = 100
FROM_ONE_PLACE = Policy(free=10, base=timedelta(seconds=1), cap=timedelta(minutes=15))
# From everywhere together: loose, and not applied where the owner has a session, so that nobody can lock them out.
FROM_ANYWHERE = Policy(free=100, base=timedelta(seconds=1), cap=timedelta(seconds=30))


@dataclass(frozen=True, slots=True)
class TokenPair:
    """What a client holds of a session."""

    token: str
    refresh_token: str
    expiration_time: datetime


class SessionService:
    """A session is one family of refresh tokens."""

    def __init__(self, resources: Resources) -> None:
        self._r = resources

    async def log_in(self, email: str, password: str, client: Client) -> tuple[User, TokenPair]:
        """Start a session.

        Raises:
            InvalidCredentialsError: wrong address or password; the same answer for the same work.
            EmailNotVerifiedError: right, but not verified yet.
            UnknownUserError: only with AUTH_REVEAL_ACCOUNTS.
            TooManyAttemptsError: too many of late.
            HasherBusyError: too many people log in at this moment.
        """
        user = await self._attempt(email, client)
        is_right = await self._r.passwords.verify(user.password_hash if user else None, password)
        if user is not None and is_right and user.is_verified:
            return user, await self._welcome(user, password, client)
        await self._refused(user, client)
        if user is None:
            raise UnknownUserError if self._r.settings.auth_reveal_accounts else InvalidCredentialsError
        raise EmailNotVerifiedError if is_right else InvalidCredentialsError

    async def refresh(self, token: str, client: Client) -> TokenPair:
        """Exchange a refresh token for new tokens.

        Raises:
            InvalidRefreshTokenError: unknown, or its session has ended.
            RefreshTokenReusedError: an old one; the session is ended, whatever the answer says.
            UserGoneError: the user no longer exists.
        """
        async with self._r.db.transaction() as tx:
            row = await repository.lock_token(tx, _hash(token))
            if row is None:
                raise InvalidRefreshTokenError
            user = await accounts.by_id(tx, row["user_id"])
            if user is None:
                raise UserGoneError
            next_token = await self._follow(tx, token, row, user, client)
        # Outside: that the family ends must be committed although the request fails.
        if next_token is None:
            raise RefreshTokenReusedError
        return self._pair(user.id, row["session_id"], next_token)

    async def log_out(self, user_id: str, session_id: str, client: Client, *, asked_from: str | None) -> None:
        """End one session of a user, asked from the session `asked_from`; when that is another, its owner gets a mail.

        Raises:
            SessionNotFoundError: it does not exist, has ended, or is somebody else's.
        """
        async with self._r.db.transaction() as tx:
            if not await self.end(tx, user_id, "logged_out", client, only=session_id):
                raise SessionNotFoundError
            if session_id != asked_from:
                await self._tell_ended(tx, user_id, 1)

    async def log_out_others(self, user_id: str, session_id: str | None, client: Client) -> None:
        """End all sessions of a user but this one."""
        async with self._r.db.transaction() as tx:
            if ended := await self.end(tx, user_id, "logged_out", client, but=session_id):
                await self._tell_ended(tx, user_id, len(ended))

    async def end(
        self, tx: Tx, user_id: str, reason: str, client: Client, *, but: str | None = None, only: str | None = None
    ) -> list[str]:
        """End sessions of a user (all, all but one, only one) inside `tx`; returns their ids."""
        now = self._r.clock.now()
        ended = await repository.revoke(tx, user_id, now, but=but, only=only)
        for session_id in ended:
            await events.session_revoked(tx, session_id, user_id, reason)
            await audit.record(tx, Action.LOGGED_OUT, user_id, client, now, session_id=session_id, reason=reason)
        return ended

    async def revoked_since(self, since: datetime) -> list[str]:
        """The ids of sessions ended since then; as many as a gateway remembers."""
        async with self._r.db.connection() as connection:
            return await repository.revoked_since(connection, since, MOST_REVOKED)

    async def list(self, user_id: str) -> list[Session]:
        async with self._r.db.connection() as connection:
            return await repository.live(connection, user_id, self._r.clock.now())

    async def _tell_ended(self, tx: Tx, user_id: str, count: int) -> None:
        if user := await accounts.by_id(tx, user_id):
            await self._r.mail.add(tx, messages.sessions_ended(user.email, count))

    async def _attempt(self, email: str, client: Client) -> User | None:
        now = self._r.clock.now()
        async with self._r.db.transaction() as tx:
            user = await accounts.by_email(tx, email)
            is_known = await repository.is_known_place(tx, id_of(user), client.ip)
            wait = await throttles.attempt(tx, self._place(email, client), FROM_ONE_PLACE, now)
            if not wait and not is_known:
                wait = await throttles.attempt(tx, self._anywhere(email), FROM_ANYWHERE, now)
        if wait:
            raise TooManyAttemptsError(wait)
        return user

    def _place(self, email: str, client: Client) -> bytes:
        return self._r.secrets.hash("login", address_key(email), client.network)

    def _anywhere(self, email: str) -> bytes:
        return self._r.secrets.hash("login", address_key(email))

    async def _welcome(self, user: User, password: str, client: Client) -> TokenPair:
        now = self._r.clock.now()
        session_id, token = new_id(), _new_token()
        is_outdated = self._r.passwords.is_outdated(user.password_hash)
        rehashed = await self._r.passwords.hash(password) if is_outdated else None
        async with self._r.db.transaction() as tx:
            # To verify it took a while: a session that a change of it did not end must not begin after that.
            present = await accounts.lock_password(tx, user.id)
            if not await self._r.passwords.is_still(user.password_hash, present, password):
                raise InvalidCredentialsError
            ends_at = now + timedelta(days=self._r.settings.session_days)
            if await repository.is_new_place(tx, user.id, client.network):
                await self._r.mail.add(tx, messages.signed_in_from_new_place(user.email, client.ip, client.user_agent))
            await repository.add(tx, session_id, user.id, client, now=now, ends_at=ends_at)
            for surplus in await repository.beyond(tx, user.id, now, MOST_SESSIONS):
                await self.end(tx, user.id, "too_many_sessions", client, only=surplus)
            await self._add_token(tx, token, session_id, now)
            await throttles.forget(tx, self._place(user.email, client))
            if rehashed is not None:
                await accounts.set_password(tx, user.id, rehashed, now)
            await audit.record(tx, Action.LOGGED_IN, user.id, client, now, session_id=session_id)
        return self._pair(user.id, session_id, token)

    async def _refused(self, user: User | None, client: Client) -> None:
        async with self._r.db.transaction() as tx:
            await audit.record(tx, Action.LOGIN_FAILED, id_of(user), client, self._r.clock.now())

    async def _follow(self, tx: Tx, token: str, row: Record, user: User, client: Client) -> str | None:
        """The token that follows, or None after ending the family."""
        now = self._r.clock.now()
        successor = open_successor(token, row["successor"]) if row["successor"] else None
        is_spent = successor is not None and await repository.is_spent(tx, _hash(successor))
        state = repository.refresh_token(row, is_successor_spent=is_spent)
        match fate(state, row["session_ends_at"], is_revoked=row["revoked_at"] is not None, now=now):
            case Fate.ROTATE:
                return await self._rotate(tx, token, row["session_id"], now)
            case Fate.REPEAT:
                return successor
            case Fate.ENDED:
                raise InvalidRefreshTokenError
            case Fate.REUSED:
                await self.end(tx, user.id, "refresh_token_reused", client, only=row["session_id"])
                await self._r.mail.add(tx, messages.session_stolen(user.email))
                return None

    async def _rotate(self, tx: Tx, token: str, session_id: str, now: datetime) -> str:
        successor = _new_token()
        await self._add_token(tx, successor, session_id, now)
        await repository.spend(tx, _hash(token), seal_successor(token, successor), now)
        await repository.touch(tx, session_id, now)
        return successor

    async def _add_token(self, tx: Tx, token: str, session_id: str, now: datetime) -> None:
        expires_at = now + timedelta(days=self._r.settings.refresh_days)
        await repository.add_token(tx, _hash(token), session_id, expires_at)

    def _pair(self, user_id: str, session_id: str, refresh_token: str) -> TokenPair:
        now = self._r.clock.now()
        expires_at = now + ACCESS_TOKEN_LIFETIME
        claims = {
            "iss": self._r.settings.token_issuer,
            "aud": self._r.settings.token_audience,
            "sub": user_id,
            "sid": session_id,
            "scope": "*",
            "jti": new_id(),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        return TokenPair(self._r.keys.sign(claims), refresh_token, expires_at)


def _new_token() -> str:
    return secrets.token_urlsafe(32)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


SESSIONS = web.AppKey("sessions", SessionService)
