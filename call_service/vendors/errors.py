"""What can go wrong with a speech vendor. Texts hold neither keys nor what the vendor wrote in prose."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from call_service.llm.errors import machine_code, seconds_of
from call_service.voice.ports import EngineError
from shared.providers import Stage

_REFUSED_KEY = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN})
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


class VendorError(EngineError):
    """The vendor failed."""

    retryable: ClassVar[bool] = False

    def __init__(self, stage: Stage, detail: str = "", *, retry_after_seconds: float | None = None) -> None:
        text = self.__class__.__doc__ or ""
        super().__init__(stage, f"{text} ({detail})" if detail else text)
        self.retry_after_seconds = retry_after_seconds


class VendorUnreachableError(VendorError):
    """The connection to the vendor could not be made, or broke."""

    retryable = True


class VendorBusyError(VendorError):
    """The vendor is overloaded, limits our rate or is failing."""

    retryable = True


class VendorTimeoutError(VendorError):
    """The vendor did not answer in time."""

    retryable = True


class VendorKeyError(VendorError):
    """The vendor refused the API key, or its account has no credit."""


class VendorRejectedError(VendorError):
    """The vendor refused the request: an unknown model, voice or option."""


class VendorProtocolError(VendorError):
    """The vendor's answer is not what its documentation says, or too large."""


def error_of_status(stage: Stage, status: int, headers: Mapping[str, str], body: Any) -> VendorError:
    """The error that an HTTP answer other than 2xx means. `body` is its JSON, or None."""
    detail = f"HTTP {status}{machine_code(body)}"
    if status in _REFUSED_KEY:
        return VendorKeyError(stage, detail)
    if status in _BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return VendorBusyError(stage, detail, retry_after_seconds=seconds_of(headers.get("Retry-After")))
    return VendorRejectedError(stage, detail)
