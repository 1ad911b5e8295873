"""Bodies of the verification endpoints."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

from auth_service.fields import EmailAddress, Moment
from shared.envelope import Success

_USER: JsonDict = {
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "active_project": None,
    "created_at": "2026-11-25T09:00:00.000Z",
    "updated_at": "2026-11-25T09:00:00.000Z",
}


class VerifyEmail(BaseModel):
    """The six digits of the mail."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com", "code": "493027"}})

    email: EmailAddress
    code: Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[0-9]{6}$")]


class ResendCode(BaseModel):
    """Where to send another code."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com"}})

    email: EmailAddress


class VerifiedUser(BaseModel):
    """The account, as this answer shows it."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _USER})

    email: str
    name: str
    active_project: str | None
    created_at: Moment
    updated_at: Moment


class EmailVerified(Success):
    """The address is verified; the account can log in."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "email verification successful.",
                "status": "success",
                "userData": _USER,
                "verificationStatus": 2,
            }
        }
    )

    message: str = "email verification successful."
    user_data: VerifiedUser = Field(serialization_alias="userData")
    verification_status: Annotated[int, Field(serialization_alias="verificationStatus")] = 2


class CodeSent(Success):
    """If somebody has registered with this address and not verified it, a new code is on its way."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": "successfully sent verification code to mail", "status": "success"}}
    )

    message: str = "successfully sent verification code to mail"
