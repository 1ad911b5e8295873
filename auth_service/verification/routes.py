"""Endpoints that verify an e-mail address."""

from auth_service.throttles.errors import TooManyAttemptsError
from auth_service.verification.errors import (
    AlreadyVerifiedError,
    CodeExpiredError,
    NeverRegisteredError,
    WrongCodeError,
    invalid_verification,
)
from auth_service.verification.schemas import CodeSent, EmailVerified, ResendCode, VerifiedUser, VerifyEmail
from auth_service.verification.service import VERIFICATION
from shared.client import client_of
from shared.endpoints import Context, Router

router = Router("Authentication")


@router.add(
    "POST",
    "/auth/verify-email",
    auth="none",
    body=VerifyEmail,
    answer=EmailVerified,
    errors=[WrongCodeError, CodeExpiredError, AlreadyVerifiedError, NeverRegisteredError],
    invalid=invalid_verification,
)
async def verify_email(ctx: Context[VerifyEmail]) -> EmailVerified:
    """Verify an e-mail address with the code of the mail."""
    service = ctx.request.app[VERIFICATION]
    user = await service.verify(ctx.body.email, ctx.body.code, client_of(ctx.request))
    return EmailVerified(user_data=VerifiedUser.model_validate(user))


@router.add(
    "POST",
    "/auth/resend-code",
    auth="none",
    body=ResendCode,
    answer=CodeSent,
    errors=[AlreadyVerifiedError, NeverRegisteredError, TooManyAttemptsError],
    invalid=invalid_verification,
)
async def resend_code(ctx: Context[ResendCode]) -> CodeSent:
    """Send another verification code."""
    await ctx.request.app[VERIFICATION].resend(ctx.body.email, client_of(ctx.request))
    return CodeSent()
