"""Bodies of the account endpoints."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from auth_service.fields import EmailAddress, Moment, Name, NewPassword, Password, Token
from shared.envelope import Success

USER: JsonDict = {
    "email": "ada@example.com",
    "name": "Ada Lovelace",
    "active_project": None,
    "created_at": "2026-11-25T09:00:00.000Z",
    "updated_at": "2026-11-25T09:00:00.000Z",
    "company_name": None,
}


class Signup(BaseModel):
    """A new account."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace"}
        }
    )

    email: EmailAddress
    password: NewPassword
    name: Name


class PublicUser(BaseModel):
    """An account, as sign-up and log-in show it."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": USER})

    email: str
    name: str
    active_project: str | None
    created_at: Moment
    updated_at: Moment
    company_name: str | None


class SignedUp(Success):
    """The account waits for the code in its mail. There are no tokens before that."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "User registered successfully",
                "status": "success",
                "user": USER,
                "signupStatus": 3,
            }
        }
    )

    message: str = "User registered successfully"
    user: PublicUser
    signup_status: Annotated[int, Field(serialization_alias="signupStatus")] = 3


class ChangePassword(BaseModel):
    """The old password, and the new one."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"oldPassword": "correct horse battery", "newPassword": "staple for the horse"}}
    )

    old_password: Password = Field(alias="oldPassword")
    new_password: NewPassword = Field(alias="newPassword")


class PasswordChanged(Success):
    """The new password counts; other sessions have ended."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": "successfully updated password.", "status": "success"}}
    )

    message: str = "successfully updated password."


class ForgotPassword(BaseModel):
    """Where to send the link."""

    model_config = ConfigDict(json_schema_extra={"example": {"email": "ada@example.com"}})

    email: EmailAddress


class ResetSent(Success):
    """The same answer for everybody."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "If the email is registered, a reset link has been sent.",
                "status": "success",
            }
        }
    )

    message: str = "If the email is registered, a reset link has been sent."


class ResetPassword(BaseModel):
    """The token of the mail, and the new password."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "token": "n7vYp0Qm2cXw8sLr5dTf1hKj3gBz6aEuNoRiVtGyPqU",
                "newPassword": "staple for the horse",
            }
        }
    )

    token: Token
    new_password: NewPassword = Field(alias="newPassword")


class PasswordReset(Success):
    """The new password counts; all sessions have ended."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": "Password has been reset successfully.", "status": "success"}}
    )

    message: str = "Password has been reset successfully."
