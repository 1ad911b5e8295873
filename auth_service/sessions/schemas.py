"""Bodies of the session endpoints."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, computed_field
from pydantic.config import JsonDict

from auth_service.accounts.schemas import USER, PublicUser
from auth_service.fields import EmailAddress, Moment, Password, Token
from shared.envelope import Success
from shared.moments import GivenMoment

_TOKENS: JsonDict = {
    "token": "eyJhbGciOiJFZERTQSIsImtpZCI6IjAxOTJmMGMxIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiIwMTkyZjBjMSJ9.c2lnbmF0dXJl",
    "refreshToken": "jJ2rXv0l6kq0bC4v3Qd1n8mYw5sTz7uAeFhGiKpLoRM",
    "resfreshToken": "jJ2rXv0l6kq0bC4v3Qd1n8mYw5sTz7uAeFhGiKpLoRM",
    "expirationTime": "2026-11-25T11:00:00.000Z",
}
_SESSION: JsonDict = {
    "id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
    "ip": "198.51.100.7",
    "user_agent": "curl/8.5",
    "created_at": "2026-11-25T09:00:00.000Z",
    "last_used_at": "2026-11-25T10:30:00.000Z",
    "expires_at": "2027-05-24T09:00:00.000Z",
    "is_current": True,
}


class Login(BaseModel):
    """Credentials."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"email": "ada@example.com", "password": "correct horse battery"}}
    )

    email: EmailAddress
    password: Password


class Refresh(BaseModel):
    """The latest refresh token of a session."""

    model_config = ConfigDict(json_schema_extra={"example": {"refreshToken": _TOKENS["refreshToken"]}})

    refresh_token: Token = Field(alias="refreshToken")


class Tokens(Success):
    """An access token for two hours (`expirationTime` is its end), and the refresh token for the next one.

    `resfreshToken` is the reference's spelling of `refreshToken`; both are the same.
    """

    model_config = ConfigDict(
        json_schema_extra={"example": {"message": "successfully refreshed token.", "status": "success", **_TOKENS}}
    )

    message: str = "successfully refreshed token."
    token: str
    refresh_token: str = Field(serialization_alias="refreshToken")
    expiration_time: Moment = Field(serialization_alias="expirationTime")

    @computed_field(alias="resfreshToken")  # type: ignore[prop-decorator] # as pydantic's documentation advises
    @property
    def misspelt_refresh_token(self) -> str:
        return self.refresh_token


class LoggedIn(Tokens):
    """Welcome."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "successfully logged in.",
                "status": "success",
                **_TOKENS,
                "user": USER,
                "loginStatus": 7,
            }
        }
    )

    message: str = "successfully logged in."
    user: PublicUser
    login_status: Annotated[int, Field(serialization_alias="loginStatus")] = 7


class RevokedSince(BaseModel):
    """Which sessions a gateway asks for."""

    since: GivenMoment


class RevokedSessions(BaseModel):
    """Sessions whose access tokens are no longer valid."""

    session_ids: list[str]


class SessionView(BaseModel):
    """A session that lives. `is_current`: the one that asks."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _SESSION})

    id: str
    ip: str
    user_agent: str
    created_at: Moment
    last_used_at: Moment
    expires_at: Moment
    is_current: bool = False


class SessionList(BaseModel):
    """The sessions that live, latest first; at most 100, so they fit on one page."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_SESSION], "next_cursor": None}})

    data: list[SessionView]
    next_cursor: str | None = None
