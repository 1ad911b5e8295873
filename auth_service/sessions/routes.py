"""Endpoints of log-in and sessions."""

from auth_service.accounts.schemas import PublicUser
from auth_service.passwords.hasher import HasherBusyError
from auth_service.sessions.errors import (
    EmailNotVerifiedError,
    InvalidCredentialsError,
    InvalidRefreshTokenError,
    RefreshTokenReusedError,
    SessionNotFoundError,
    UnknownUserError,
    UserGoneError,
    invalid_login,
)
from auth_service.sessions.schemas import (
    LoggedIn,
    Login,
    Refresh,
    RevokedSessions,
    RevokedSince,
    SessionList,
    SessionView,
    Tokens,
)
from auth_service.sessions.service import SESSIONS
from auth_service.throttles.errors import TooManyAttemptsError
from shared.client import client_of
from shared.endpoints import Context, Router
from shared.ids import is_id

router = Router("Authentication")


@router.add(
    "POST",
    "/auth/login",
    auth="none",
    body=Login,
    answer=LoggedIn,
    errors=[
        InvalidCredentialsError,
        EmailNotVerifiedError,
        UnknownUserError,
        TooManyAttemptsError,
        HasherBusyError,
    ],
    invalid=invalid_login,
)
async def log_in(ctx: Context[Login]) -> LoggedIn:
    """Log in."""
    service = ctx.request.app[SESSIONS]
    user, pair = await service.log_in(ctx.body.email, ctx.body.password, client_of(ctx.request))
    return LoggedIn(
        token=pair.token,
        refresh_token=pair.refresh_token,
        expiration_time=pair.expiration_time,
        user=PublicUser.model_validate(user),
    )


@router.add(
    "POST",
    "/auth/refresh-token",
    auth="none",
    body=Refresh,
    answer=Tokens,
    errors=[InvalidRefreshTokenError, RefreshTokenReusedError, UserGoneError],
)
async def refresh_token(ctx: Context[Refresh]) -> Tokens:
    """Exchange a refresh token for new tokens."""
    pair = await ctx.request.app[SESSIONS].refresh(ctx.body.refresh_token, client_of(ctx.request))
    return Tokens(token=pair.token, refresh_token=pair.refresh_token, expiration_time=pair.expiration_time)


async def _end(ctx: Context[None], session_id: str) -> None:
    if not is_id(session_id):
        raise SessionNotFoundError
    current = ctx.principal.session_id
    await ctx.request.app[SESSIONS].log_out(ctx.tenant, session_id, client_of(ctx.request), asked_from=current)


@router.add("POST", "/auth/logout", auth="token", status=204, errors=[SessionNotFoundError])
async def log_out(ctx: Context[None]) -> None:
    """End the session of the access token."""
    await _end(ctx, ctx.principal.session_id or "")


@router.add("GET", "/user/sessions", auth="token", answer=SessionList)
async def list_sessions(ctx: Context[None]) -> SessionList:
    """List the sessions that are logged in."""
    sessions = await ctx.request.app[SESSIONS].list(ctx.tenant)
    current = ctx.principal.session_id
    return SessionList(
        data=[
            SessionView.model_validate(session).model_copy(update={"is_current": session.id == current})
            for session in sessions
        ]
    )


@router.add("DELETE", "/user/sessions", auth="token", status=204)
async def end_other_sessions(ctx: Context[None]) -> None:
    """End all sessions but the one that asks."""
    service = ctx.request.app[SESSIONS]
    await service.log_out_others(ctx.tenant, ctx.principal.session_id, client_of(ctx.request))


@router.add("DELETE", "/user/sessions/{id}", auth="token", status=204, errors=[SessionNotFoundError])
async def end_session(ctx: Context[None]) -> None:
    """End a session."""
    await _end(ctx, ctx.path("id"))


@router.add("GET", "/internal/sessions/revoked", auth="internal", query=RevokedSince, answer=RevokedSessions)
async def list_revoked_sessions(ctx: Context[None]) -> RevokedSessions:
    """List the sessions that were ended since a time, by users or by theft of their tokens."""
    since = ctx.query(RevokedSince).since
    return RevokedSessions(session_ids=await ctx.request.app[SESSIONS].revoked_since(since))
