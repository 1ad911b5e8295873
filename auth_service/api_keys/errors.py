"""Refused API keys."""

from collections.abc import Sequence

from shared.endpoints import summarize
from shared.errors import ApiError, ConflictError, FieldError, NotFoundError, UnprocessableError


class InvalidApiKeyError(ApiError):
    """The API key is unknown, revoked or expired."""

    code = "invalid_api_key"
    status = 404


class ApiKeyNotFoundError(NotFoundError):
    """There is no API key with this id."""

    code = "api_key_not_found"


class TooManyApiKeysError(ConflictError):
    """There are already 100 API keys; delete one that is not used any more."""

    code = "too_many_api_keys"


def unprocessable(errors: Sequence[FieldError]) -> ApiError:
    return UnprocessableError(summarize(errors), errors=errors)
