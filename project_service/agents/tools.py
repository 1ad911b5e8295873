"""What an agent can do beside talking: functions of its owner over HTTP, and what every call can do."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from shared.http_client import InvalidUrlError, parse_url
from shared.json_schema import UnusableSchemaError, check_object_schema

_STRICT = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="forbid")
MAX_TOOLS = 20
SAFE_METHODS = frozenset({"GET", "PUT", "DELETE"})  # repeating them does no harm (RFC 9110, 9.2.2)
BUILT_IN = frozenset({"end_call", "transfer_call", "send_dtmf", "look_up", "collect", "wait"})
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SECRET = re.compile(r"\{\{\s*secrets\.[a-z][a-z0-9_]{0,39}\s*\}\}")
_TELLING = re.compile(r"authori[sz]ation|cookie|token|secret|password|api-?key", re.IGNORECASE)
_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding"})

ToolName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Description = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000)]
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,998}[\x21-\x7e])?$")]
FieldName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def _usable(schema: dict[str, Any]) -> dict[str, Any]:
    try:
        check_object_schema(schema)
    except UnusableSchemaError as error:
        raise PydanticCustomError("invalid_schema", "{reason}", {"reason": str(error)}) from None
    return schema


def _callable(url: str) -> str:
    """Whether it leads to the public internet is checked when it is set, and again at each connect."""
    try:
        parsed = parse_url(_PLACE.sub("x", url), allow_private=True)
    except InvalidUrlError as error:
        raise PydanticCustomError("invalid_url", "{reason}", {"reason": error.message}) from None
    if _PLACE.search(url.partition("://")[2].partition("/")[0]) or parsed.fragment:
        raise PydanticCustomError("invalid_url", "The host is fixed, and there is no fragment.")
    return url


class HttpTool(BaseModel):
    """A function of yours. The arguments that fit `parameters` are sent as JSON; with GET and DELETE in the query.

    `{order_id}` in the path or query of `url` takes the argument of that name. A value of `headers` that is secret is
    written as `{{secrets.name}}`. `timeoutSeconds` includes the `retries`, which need a method that may be repeated
    (GET, PUT, DELETE) or `idempotent`. The `filler` is said when the answer takes more than a second.
    """

    model_config = _STRICT

    type: Literal["http"]
    name: ToolName
    description: Description
    parameters: Annotated[dict[str, Any], AfterValidator(_usable)] = Field(
        default_factory=lambda: {"type": "object", "properties": {}}
    )
    url: Annotated[str, AfterValidator(_callable)]
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)
    timeout_seconds: float = Field(8, ge=1, le=20)
    retries: int = Field(0, ge=0, le=2)
    idempotent: bool = False
    filler: Phrase | None = None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.name in BUILT_IN:
            raise PydanticCustomError("name_taken", "name: a built-in tool has this name.")
        if self.retries and not (self.idempotent or self.method in SAFE_METHODS):
            raise PydanticCustomError("not_idempotent", "retries: only where repeating does no harm; set idempotent.")
        required = self.parameters.get("required", [])
        if missing := [place for place in _PLACE.findall(self.url) if place not in required]:
            raise PydanticCustomError(
                "not_required", "url: {place} has to be required.", {"place": f"{{{missing[0]}}}"}
            )
        self._check_headers()
        return self

    def _check_headers(self) -> None:
        for name, value in self.headers.items():
            if name.lower() in _OURS:
                raise PydanticCustomError("not_allowed", "headers.{name}: we set it ourselves.", {"name": name})
            if _TELLING.search(name) and not _SECRET.search(value):
                message = "headers.{name}: write a secret as {place}, and store it with the project."
                raise PydanticCustomError("secret_in_plain", message, {"name": name, "place": "{{secrets.name}}"})


class _BuiltIn(BaseModel):
    """`description` tells the model when to use it."""

    model_config = _STRICT

    description: Description | None = None


class EndCallTool(_BuiltIn):
    """Hang up. Agents can always do that; an entry says when."""

    type: Literal["endCall"]


class TransferTool(_BuiltIn):
    """Connect the other party with one of the agent's `transferNumbers`.

    `warm` calls the number first and says the `announcement` to who answers; `blind` leaves the call to the carrier.
    """

    type: Literal["transfer"]
    mode: Literal["blind", "warm"] = "blind"
    announcement: Phrase = "Hello, I am connecting you with a caller."


class SendDtmfTool(_BuiltIn):
    """Press keys, to get through menus. `goal` says where to: "reach the reception"."""

    type: Literal["sendDtmf"]
    goal: Phrase | None = None


class LookUpTool(_BuiltIn):
    """Find passages in the agent's documents."""

    type: Literal["lookUp"]


class CollectedField(BaseModel):
    """A value to get from the other party; it goes into the call's `data`."""

    model_config = _STRICT

    name: FieldName
    description: Description | None = None


class CollectTool(_BuiltIn):
    """Note values. Agents can always do that; an entry says which."""

    type: Literal["collect"]
    fields: list[CollectedField] = Field(min_length=1, max_length=30)

    @model_validator(mode="after")
    def _is_unique(self) -> Self:
        if len({field.name for field in self.fields}) < len(self.fields):
            raise PydanticCustomError("repeated", "fields: each name once.")
        return self


Tool = Annotated[
    HttpTool | EndCallTool | TransferTool | SendDtmfTool | LookUpTool | CollectTool, Field(discriminator="type")
]


def check_together(tools: Sequence[Tool]) -> None:
    """Raises PydanticCustomError: a name or a built-in comes twice."""
    seen: set[str] = set()
    for place, tool in enumerate(tools):
        name = tool.name if isinstance(tool, HttpTool) else tool.type
        if name in seen:
            where = {"place": place, "name": name}
            raise PydanticCustomError("repeated", "tools.{place}: {name} is there already.", where)
        seen.add(name)
