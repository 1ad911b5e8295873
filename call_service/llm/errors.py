"""What can go wrong with a language model. Texts never hold keys, prompts or what the endpoint wrote in prose."""

import re
from collections.abc import Mapping
from typing import Any

_MACHINE_CODE = re.compile(r"[a-z][a-z0-9_]{2,39}")
_AUTH, _BUSY = {401, 403}, {408, 409, 425, 429}


class LlmError(Exception):
    """The language model failed."""

    retryable = False

    def __init__(
        self, detail: str = "", *, retry_after_seconds: float | None = None, parameter: str | None = None
    ) -> None:
        text = self.__class__.__doc__ or ""
        super().__init__(f"{text} ({detail})" if detail else text)
        self.retry_after_seconds = retry_after_seconds
        self.parameter = parameter
        """The field of the request that the endpoint does not take, if it says so."""


class LlmUnreachableError(LlmError):
    """The connection to the language model could not be made, or broke."""

    retryable = True


class LlmBusyError(LlmError):
    """The language model is overloaded, limits our rate or is failing."""

    retryable = True


class LlmTimeoutError(LlmError):
    """The language model did not answer in time."""


class LlmAuthError(LlmError):
    """The language model refused the API key."""


class LlmRejectedError(LlmError):
    """The language model refused the request."""


class LlmProtocolError(LlmError):
    """The language model's answer is not a chat completion, or too large."""


def error_of_status(status: int, headers: Mapping[str, str], body: Any) -> LlmError:
    """The error that an HTTP answer other than 2xx means. `body` is its JSON, or None."""
    detail = f"HTTP {status}{machine_code(body)}"
    if status in _AUTH:
        return LlmAuthError(detail)
    if status in _BUSY or status >= 500:
        return LlmBusyError(detail, retry_after_seconds=seconds_of(headers.get("Retry-After")))
    parameter = _error(body).get("param")
    return LlmRejectedError(detail, parameter=parameter if isinstance(parameter, str) else None)


def machine_code(body: Any) -> str:
    """The endpoint's own error code if it looks like one: its prose may quote the key."""
    error = _error(body)
    code = error.get("code") or error.get("type")
    return f", {code}" if isinstance(code, str) and _MACHINE_CODE.fullmatch(code) else ""


def _error(body: Any) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}


def seconds_of(header: str | None) -> float | None:
    """A Retry-After in seconds; a date is not waited for."""
    return float(header) if header and re.fullmatch(r"\d{1,6}(\.\d{1,3})?", header) else None
