"""Errors as types: a machine code, an HTTP status and the text for people.

The default text of an error is the docstring of its class, so that the definition is its documentation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field of the request: `field` as on the wire, `code` for programs."""

    field: str
    code: str
    message: str


class ApiError(Exception):
    """Something went wrong."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    retry_after_seconds: ClassVar[int | None] = None
    extra: ClassVar[Mapping[str, Any]] = {}

    def __init__(
        self,
        message: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        """`extra` is written beside the envelope's own keys (the reference's numeric enums)."""
        self.message = message or self.default_message()
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        if self.retry_after_seconds is not None:
            self.headers.setdefault("Retry-After", str(self.retry_after_seconds))
        self.fields: dict[str, Any] = {**self.extra, **extra}
        super().__init__(self.message)

    @classmethod
    def default_message(cls) -> str:
        return " ".join((cls.__doc__ or "Something went wrong.").split())

    @property
    def retryable(self) -> bool:
        """May the same request succeed later?"""
        return self.status in {429, 503, 504}


class InvalidRequestError(ApiError):
    """The request has missing or malformed fields."""

    code = "invalid_request"
    status = 400


class UnprocessableError(InvalidRequestError):
    """The request has missing or malformed fields."""

    status = 422


class MalformedJsonError(ApiError):
    """The body is not valid JSON."""

    code = "malformed_json"
    status = 400


class UnauthorizedError(ApiError):
    """Send a valid access token (Authorization: Bearer …) or API key (x-api-key: …)."""

    code = "unauthorized"
    status = 401

    def __init__(self, message: str | None = None, **extra: Any) -> None:
        super().__init__(message, headers={"WWW-Authenticate": "Bearer"}, **extra)


class TokenRequiredError(UnauthorizedError):
    """This endpoint needs an access token; an API key is not enough."""

    code = "token_required"


class ForbiddenError(ApiError):
    """These credentials may not do this."""

    code = "forbidden"
    status = 403


class NotFoundError(ApiError):
    """There is nothing at this path."""

    code = "not_found"
    status = 404


class MethodNotAllowedError(ApiError):
    """This path does not answer to this method."""

    code = "method_not_allowed"
    status = 405


class ConflictError(ApiError):
    """The request contradicts the present state."""

    code = "conflict"
    status = 409


class BodyTooLargeError(ApiError):
    """The body is larger than this endpoint takes."""

    code = "body_too_large"
    status = 413


class UnsupportedMediaTypeError(ApiError):
    """Send the body as application/json."""

    code = "unsupported_media_type"
    status = 415


class TooManyRequestsError(ApiError):
    """Too many requests; try again later."""

    code = "rate_limited"
    status = 429
    retry_after_seconds = 1


class InternalError(ApiError):
    """Something went wrong on our side; it was logged with this request id."""


class BadGatewayError(ApiError):
    """The service behind the gateway gave no usable answer."""

    code = "bad_gateway"
    status = 502


class UnavailableError(ApiError):
    """The service is briefly unavailable; try again."""

    code = "unavailable"
    status = 503
    retry_after_seconds = 2


class GatewayTimeoutError(ApiError):
    """The service behind the gateway took too long."""

    code = "upstream_timeout"
    status = 504
