"""Refused API keys."""

from shared.errors import ApiError, ConflictError, NotFoundError


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
