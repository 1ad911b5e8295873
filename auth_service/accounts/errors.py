"""Refused sign-ups and password changes; the numbers are the reference's SIGNUP_STATUS."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shared.endpoints import summarize
from shared.errors import ApiError, FieldError, InvalidRequestError, UnauthorizedError


class AlreadyRegisteredError(ApiError):
    """There is already an account with this e-mail address."""

    code = "already_registered"
    status = 400
    extra: ClassVar[Mapping[str, Any]] = {"signupStatus": 1}


class WrongPasswordError(UnauthorizedError):
    """The old password is wrong."""

    code = "wrong_password"


class InvalidResetTokenError(ApiError):
    """The reset token is invalid, used or expired; ask for a new mail."""

    code = "invalid_reset_token"
    status = 400


def invalid_signup(errors: Sequence[FieldError]) -> ApiError:
    if any(error.code == "missing" for error in errors):
        status = 0
    else:
        status = 5 if any(error.field == "email" for error in errors) else 4
    return InvalidRequestError(summarize(errors), errors=errors, signupStatus=status)
