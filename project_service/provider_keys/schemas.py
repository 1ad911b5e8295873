"""Bodies of requests and answers about the keys of vendors."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints
from pydantic.alias_generators import to_camel

from project_service.fields import Moment
from shared.http_client import MAX_URL_LENGTH

_CAMEL = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
_EXAMPLE: dict[str, Any] = {
    "provider": "deepgram",
    "lastFour": "1f3a",
    "baseUrl": None,
    "setAt": "2026-11-25T09:00:00.000Z",
}

ApiKey = Annotated[SecretStr, Field(max_length=500)]
BaseUrl = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_URL_LENGTH)]


class SetProviderKey(BaseModel):
    """A vendor's key. `baseUrl` is where providers without a place of their own are reached, up to and with `/v1`.

    For `pipecat` it is the bot's WebSocket, `wss://…`, and `apiKey` is sent to it as `Authorization: Bearer`.
    """

    model_config = _CAMEL | ConfigDict(
        extra="forbid", json_schema_extra={"example": {"apiKey": "dg-0123456789abcdef1f3a"}}
    )

    api_key: ApiKey = SecretStr("")
    base_url: BaseUrl | None = None


class ProviderKey(BaseModel):
    """A key that is set; the key itself is never shown. `lastFour` is empty for a key of less than 16 characters."""

    model_config = _CAMEL | ConfigDict(json_schema_extra={"example": _EXAMPLE})

    provider: str
    last_four: str
    base_url: str | None
    set_at: Moment


class ProviderKeyList(BaseModel):
    """The keys of a project, by provider."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_EXAMPLE]}})

    data: list[ProviderKey]


class KeyTest(BaseModel):
    """Whether the vendor takes the key, as it said just now.

    A bot `works` when it opened its WebSocket, which is closed again without a word.
    `unclear`: it answered, but neither took nor refused the key (a server of one's own without a list of models).
    """

    model_config = _CAMEL | ConfigDict(
        json_schema_extra={"example": {"provider": "deepgram", "result": "works", "httpStatus": 200, "durationMs": 142}}
    )

    provider: str
    result: Literal["works", "refused", "unreachable", "unclear"]
    http_status: int | None
    duration_ms: int


class OpenedKey(BaseModel):
    """A key as workers get it."""

    api_key: str
    base_url: str | None


class OpenedKeys(BaseModel):
    """All keys of a project, by provider."""

    keys: dict[str, OpenedKey]
