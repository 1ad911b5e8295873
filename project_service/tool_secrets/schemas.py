"""Bodies of requests and answers about the secrets of tools."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from project_service.fields import Moment

_CAMEL = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
_EXAMPLE: dict[str, Any] = {"name": "crm_key", "setAt": "2026-11-25T09:00:00.000Z"}


class SetSecret(BaseModel):
    """A value for headers of tools, which write it `{{secrets.name}}`."""

    model_config = _CAMEL | ConfigDict(extra="forbid", json_schema_extra={"example": {"value": "s3cr3t-0123456789"}})

    value: Annotated[SecretStr, Field(min_length=1, max_length=1000)]

    @field_validator("value")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not (text.isascii() and text.isprintable() and text == text.strip()):
            raise PydanticCustomError("malformed", "Printable ASCII characters only, without blanks around them.")
        return value


class ToolSecret(BaseModel):
    """A secret that is set; its value is never shown."""

    model_config = _CAMEL | ConfigDict(json_schema_extra={"example": _EXAMPLE})

    name: str
    set_at: Moment


class SecretList(BaseModel):
    """The secrets of a project, by name."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_EXAMPLE]}})

    data: list[ToolSecret]


class OpenedSecrets(BaseModel):
    """The values, by name."""

    secrets: dict[str, str]
