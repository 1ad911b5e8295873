"""Why an e-mail address was not verified; the numbers are the reference's EMAIL_VERIFICATION_STATUS."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from shared.endpoints import summarize
from shared.errors import ApiError, FieldError, InvalidRequestError, NotFoundError


class WrongCodeError(ApiError):
    """This is not the code of the latest mail."""

    code = "wrong_code"
    status = 400
    extra: ClassVar[Mapping[str, Any]] = {"verificationStatus": 1}


class CodeExpiredError(ApiError):
    """The code has expired or was tried too often; ask for a new one."""

    code = "code_expired"
    status = 400
    extra: ClassVar[Mapping[str, Any]] = {"verificationStatus": 3}


class AlreadyVerifiedError(ApiError):
    """This e-mail address is already verified."""

    code = "already_verified"
    status = 400
    extra: ClassVar[Mapping[str, Any]] = {"verificationStatus": 4}


class NeverRegisteredError(NotFoundError):
    """Nobody has registered with this e-mail address."""

    code = "account_not_found"
    extra: ClassVar[Mapping[str, Any]] = {"verificationStatus": 5}


def invalid_verification(errors: Sequence[FieldError]) -> ApiError:
    is_bad_code = any(error.field == "code" and error.code != "missing" for error in errors)
    return InvalidRequestError(summarize(errors), errors=errors, verificationStatus=1 if is_bad_code else 0)
