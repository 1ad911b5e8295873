"""Answers as JSON: asked for by schema where the endpoint can, in words where it cannot, and checked either way."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from call_service.llm.errors import LlmProtocolError
from call_service.llm.messages import Message, Usage, usage_of

_Model = TypeVar("_Model", bound=BaseModel)
_OBJECT = re.compile(r"\{.*\}", re.DOTALL)


def schema_format(answer: type[BaseModel]) -> dict[str, Any]:
    """`response_format` that asks for the JSON schema of `answer`."""
    return {"type": "json_schema", "json_schema": {"name": answer.__name__, "schema": answer.model_json_schema()}}


def plain_json_messages(messages: Sequence[Message], answer: type[BaseModel]) -> list[Message]:
    """`messages` followed by the schema in words."""
    schema = orjson.dumps(answer.model_json_schema()).decode()
    return [*messages, {"role": "user", "content": f"Answer with one JSON object only, of this schema: {schema}"}]


def content_of(raw: bytes) -> tuple[str, Usage | None]:
    """The text of a whole chat completion, and its tokens.

    Raises:
        LlmProtocolError: it is none.
    """
    try:
        completion = orjson.loads(raw)
        content = completion["choices"][0]["message"]["content"]
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise LlmProtocolError("no message") from error
    if not isinstance(content, str):
        raise LlmProtocolError("no text")
    return content, usage_of(completion)


def parse_as(answer: type[_Model], text: str) -> _Model:
    """The object in `text`, which may be wrapped in prose or a code fence.

    Raises:
        LlmProtocolError: there is none, or it does not fit; the text says which fields, never their values.
    """
    found = _OBJECT.search(text)
    try:
        return answer.model_validate_json(found[0] if found else text)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, problem["loc"])) or "the whole" for problem in error.errors()[:5])
        raise LlmProtocolError(f"does not fit the schema: {fields}") from None
