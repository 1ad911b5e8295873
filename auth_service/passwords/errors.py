"""Refused passwords."""

from typing import Any

from shared.errors import ApiError, FieldError


class WeakPasswordError(ApiError):
    """This password is among the first that are guessed; choose another one."""

    code = "weak_password"
    status = 400

    def __init__(self, field: str = "password", **extra: Any) -> None:
        super().__init__(errors=[FieldError(field, self.code, self.default_message())], **extra)
