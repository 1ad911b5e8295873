"""Endpoints of sign-up and passwords."""

from auth_service.accounts.errors import (
    AlreadyRegisteredError,
    InvalidResetTokenError,
    WrongPasswordError,
    invalid_signup,
)
from auth_service.accounts.schemas import (
    ChangePassword,
    ForgotPassword,
    PasswordChanged,
    PasswordReset,
    PublicUser,
    ResetPassword,
    ResetSent,
    SignedUp,
    Signup,
)
from auth_service.accounts.service import ACCOUNTS
from auth_service.passwords.errors import WeakPasswordError
from auth_service.passwords.hasher import HasherBusyError
from auth_service.throttles.errors import TooManyAttemptsError
from shared.client import client_of
from shared.endpoints import Context, Router
from shared.scopes import Scope

router = Router("Authentication")


@router.add(
    "POST",
    "/auth/signup",
    idempotent=True,
    auth="none",
    body=Signup,
    answer=SignedUp,
    errors=[AlreadyRegisteredError, WeakPasswordError, HasherBusyError],
    invalid=invalid_signup,
)
async def sign_up(ctx: Context[Signup]) -> SignedUp:
    """Register an account."""
    body = ctx.body
    user = await ctx.request.app[ACCOUNTS].sign_up(body.email, body.password, body.name, client_of(ctx.request))
    return SignedUp(user=PublicUser.model_validate(user))


@router.add(
    "POST",
    "/auth/change-password",
    scope=Scope.ACCOUNT_WRITE,
    body=ChangePassword,
    answer=PasswordChanged,
    errors=[WrongPasswordError, WeakPasswordError, TooManyAttemptsError, HasherBusyError],
)
async def change_password(ctx: Context[ChangePassword]) -> PasswordChanged:
    """Change the password."""
    body, session_id = ctx.body, ctx.principal.session_id
    service = ctx.request.app[ACCOUNTS]
    await service.change_password(ctx.tenant, session_id, body.old_password, body.new_password, client_of(ctx.request))
    return PasswordChanged()


@router.add(
    "POST",
    "/auth/forgot-password",
    auth="none",
    body=ForgotPassword,
    answer=ResetSent,
    errors=[TooManyAttemptsError],
)
async def forgot_password(ctx: Context[ForgotPassword]) -> ResetSent:
    """Ask for a mail that resets the password."""
    await ctx.request.app[ACCOUNTS].forgot_password(ctx.body.email, client_of(ctx.request))
    return ResetSent()


@router.add(
    "POST",
    "/auth/reset-password",
    auth="none",
    body=ResetPassword,
    answer=PasswordReset,
    errors=[InvalidResetTokenError, WeakPasswordError, HasherBusyError],
)
async def reset_password(ctx: Context[ResetPassword]) -> PasswordReset:
    """Set a new password with the token of the mail."""
    await ctx.request.app[ACCOUNTS].reset_password(ctx.body.token, ctx.body.new_password, client_of(ctx.request))
    return PasswordReset()
