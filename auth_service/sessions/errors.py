"""Refused log-ins and refreshes; the numbers are the reference's LOGIN_STATUS."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shared.endpoints import summarize
from shared.errors import ApiError, FieldError, InvalidRequestError, NotFoundError, UnauthorizedError


class InvalidCredentialsError(UnauthorizedError):
    """E-mail address or password is wrong."""

    code = "invalid_credentials"
    extra: ClassVar[Mapping[str, Any]] = {"loginStatus": 4}


class EmailNotVerifiedError(UnauthorizedError):
    """Verify your e-mail address first; the code is in your mail."""

    code = "email_not_verified"
    extra: ClassVar[Mapping[str, Any]] = {"loginStatus": 2}


class UnknownUserError(NotFoundError):
    """Nobody has registered with this e-mail address."""

    code = "user_not_found"
    extra: ClassVar[Mapping[str, Any]] = {"loginStatus": 3}


class InvalidRefreshTokenError(UnauthorizedError):
    """The refresh token is not valid, or its session has ended; log in again."""

    code = "invalid_refresh_token"


class RefreshTokenReusedError(UnauthorizedError):
    """This refresh token was used before, so its session was ended; log in again."""

    code = "refresh_token_reused"


class UserGoneError(NotFoundError):
    """The user of this session no longer exists."""

    code = "user_not_found"


class SessionNotFoundError(NotFoundError):
    """There is no session with this id."""

    code = "session_not_found"


def invalid_login(errors: Sequence[FieldError]) -> ApiError:
    is_bad_address = all(error.field == "email" and error.code != "missing" for error in errors)
    return InvalidRequestError(summarize(errors), errors=errors, loginStatus=9 if is_bad_address else 0)
