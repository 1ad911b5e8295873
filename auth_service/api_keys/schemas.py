"""Bodies of the API key endpoints."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from auth_service.fields import Moment, Name
from shared.envelope import Success
from shared.moments import FutureMoment
from shared.scopes import Scope

_KEY = "tk_live_2bHlzKcPqYt8wVx5nRm0aDfGj3sEuW7oZiXrT4yQ1kL1yZdQ2"
_VIEW: JsonDict = {
    "id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
    "name": "Reporting",
    "hint": "tk_live_…ZdQ2",
    "scopes": ["calls:read"],
    "is_default": False,
    "created_at": "2026-11-25T09:00:00.000Z",
    "expires_at": "2027-11-25T00:00:00.000Z",
    "last_used_at": None,
}


def _minimal(scopes: list[Scope]) -> list[Scope]:
    return [Scope.EVERYTHING] if Scope.EVERYTHING in scopes else list(dict.fromkeys(scopes))


class KeyGenerated(Success):
    """The new default key. It is shown once, and replaces the one before."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "message": "API key successfully generated and updated.",
                "status": "success",
                "apiKey": _KEY,
            }
        }
    )

    message: str = "API key successfully generated and updated."
    api_key: str = Field(serialization_alias="apiKey")


class CreateKey(BaseModel):
    """A further key, beside the default one. Without `scopes` it may do all that an API key can.

    Without `expires_at` it works until it is deleted.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"name": "Reporting", "scopes": ["calls:read"], "expires_at": "2027-11-25T00:00:00.000Z"}
        },
    )

    name: Name
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=20), AfterValidator(_minimal)] = [Scope.EVERYTHING]
    expires_at: FutureMoment | None = None


class KeyView(BaseModel):
    """A key without its secret."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _VIEW})

    id: str
    name: str
    hint: str
    scopes: list[str]
    is_default: bool
    created_at: Moment
    expires_at: Moment | None
    last_used_at: Moment | None


class KeyCreated(KeyView):
    """A key with its secret, which is shown once."""

    model_config = ConfigDict(json_schema_extra={"example": {**_VIEW, "key": _KEY}})

    key: str


class KeyList(BaseModel):
    """The keys that are not revoked, latest first; at most 100, so they fit on one page."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_VIEW], "next_cursor": None}})

    data: list[KeyView]
    next_cursor: str | None = None


class VerifyKey(BaseModel):
    """A key that the gateway was given."""

    model_config = ConfigDict(json_schema_extra={"example": {"key": _KEY}})

    key: str = Field(max_length=512)


class VerifiedKey(BaseModel):
    """Whose key it is, and what it may do."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "user_id": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
                "key_id": _VIEW["id"],
                "scopes": ["calls:read"],
                "expires_at": None,
            }
        }
    )

    user_id: str
    key_id: str
    scopes: list[str]
    expires_at: Moment | None
