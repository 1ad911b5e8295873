"""The OpenAPI 3.1 document, made from the table of endpoints (https://spec.openapis.org/oas/v3.1.0)."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from shared import idempotency
from shared.endpoints import Endpoint
from shared.envelope import error_body
from shared.errors import (
    ApiError,
    BodyTooLargeError,
    MalformedJsonError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from shared.forms import MalformedFormError
from shared.scopes import InsufficientScopeError, Scope

VERSION = "1.0.0"
_SCHEMA_REF = "#/components/schemas/{model}"
EXAMPLE_REQUEST_ID = "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f"

ERROR_SCHEMA = {
    "type": "object",
    "required": ["status", "code", "message", "request_id"],
    "properties": {
        "status": {"const": "error"},
        "code": {"type": "string", "description": "For programs; never changes."},
        "message": {"type": "string", "description": "For people."},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "properties": {name: {"type": "string"} for name in ("field", "code", "message")},
            },
        },
    },
}
SECURITY_SCHEMES = {
    "accessToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Has every scope."},
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": f"Has the scopes that it was made with, of: {', '.join(Scope)}.",
    },
    "streamToken": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "From `POST /events/token`: opens one stream, within a minute.",
    },
}
IDEMPOTENCY_KEY = {
    "name": idempotency.HEADER,
    "in": "header",
    "required": False,
    "description": "Sent again with the same key and body within 24 hours, the request has no second effect and is "
    f"given its first answer, with `{idempotency.REPLAYED}: true`.",
    "schema": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": f"^{idempotency.KEY_PATTERN}$"},
    "example": "0b8c5d1e-6a0f-4f5c-9a53-2f6a4b1c7d90",
}


def _security(endpoint: Endpoint) -> list[dict[str, list[str]]]:
    """What OpenAPI calls role names, for schemes that are no OAuth, are our scopes."""
    if endpoint.auth == "none":
        return []
    by_token: dict[str, list[str]] = {"accessToken": []}
    by_key: dict[str, list[str]] = {"apiKey": [endpoint.scope] if endpoint.scope else []}
    by_stream_token: list[dict[str, list[str]]] = [{"streamToken": []}] if endpoint.by_stream_token else []
    return [by_token] if endpoint.auth == "token" else [by_token, by_key, *by_stream_token]


def _errors_of(endpoint: Endpoint) -> list[type[ApiError]]:
    errors = list(endpoint.errors)
    if endpoint.auth != "none":
        errors.append(UnauthorizedError)
    if endpoint.body is not None:
        malformed = MalformedFormError if endpoint.is_form else MalformedJsonError
        errors += [malformed, BodyTooLargeError, UnsupportedMediaTypeError]
    if endpoint.body is not None or endpoint.query is not None:
        errors.append(type(endpoint.invalid([])))
    if endpoint.scope is not None:
        errors.append(InsufficientScopeError)
    if endpoint.idempotent:
        errors += idempotency.ERRORS
    return errors


def _error_responses(endpoint: Endpoint) -> dict[str, Any]:
    by_status: dict[int, dict[str, type[ApiError]]] = defaultdict(dict)
    for error in _errors_of(endpoint):
        by_status[error.status].setdefault(error.code, error)
    return {
        str(status): {
            "description": " ".join(error.default_message() for error in errors.values()),
            "content": {
                "application/json": {
                    "schema": {"$ref": _SCHEMA_REF.format(model="Error")},
                    "examples": {
                        code: {"value": error_body(error(), EXAMPLE_REQUEST_ID)} for code, error in errors.items()
                    },
                }
            },
        }
        for status, errors in sorted(by_status.items())
    }


def example_of(model: type[BaseModel]) -> Any:
    """The example in a model's configuration (`json_schema_extra={"example": …}`)."""
    extra = model.model_config.get("json_schema_extra")
    return extra.get("example") if isinstance(extra, dict) else None


def _content(
    model: type[BaseModel], *, is_list: bool = False, content_type: str = "application/json"
) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": _SCHEMA_REF.format(model=model.__name__)}
    example = example_of(model)
    if is_list:
        schema, example = {"type": "array", "items": schema}, [example]
    return {content_type: {"schema": schema, "example": example}}


def _parameters(endpoint: Endpoint, schemas: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)[^}]*}", endpoint.path)
    ]
    if endpoint.idempotent:
        parameters.append(IDEMPOTENCY_KEY)
    if endpoint.query is None:
        return parameters
    query = schemas[endpoint.query.__name__]
    return parameters + [
        {"name": name, "in": "query", "required": name in query.get("required", ()), "schema": schema}
        for name, schema in query["properties"].items()
    ]


def _operation(endpoint: Endpoint, schemas: dict[str, Any]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success."}
    if endpoint.answer is not None:
        success["content"] = _content(endpoint.answer, is_list=endpoint.is_list)
    if endpoint.content_type != "application/json":
        success.setdefault("content", {})[endpoint.content_type] = {}
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "security": _security(endpoint),
        "parameters": _parameters(endpoint, schemas),
        "responses": {str(endpoint.status): success, **_error_responses(endpoint)},
    }
    if endpoint.body is not None:
        sent_as = "multipart/form-data" if endpoint.is_form else "application/json"
        operation["requestBody"] = {"required": True, "content": _content(endpoint.body, content_type=sent_as)}
    return operation


def describe(endpoints: Sequence[Endpoint], title: str) -> dict[str, Any]:
    """The document of one service; internal endpoints are left out."""
    public = [endpoint for endpoint in endpoints if endpoint.auth != "internal"]
    inputs = {model for endpoint in public for model in (endpoint.body, endpoint.query) if model is not None}
    outputs = {endpoint.answer for endpoint in public if endpoint.answer is not None}
    _, definitions = models_json_schema(
        [*((model, "validation") for model in inputs), *((model, "serialization") for model in outputs)],
        ref_template=_SCHEMA_REF,
    )
    schemas = definitions.get("$defs", {})
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for endpoint in public:
        path = re.sub(r"{(\w+)[^}]*}", r"{\1}", endpoint.path)
        paths[path][endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": VERSION},
        "paths": dict(paths),
        "components": {"schemas": {**schemas, "Error": ERROR_SCHEMA}, "securitySchemes": SECURITY_SCHEMES},
    }
