"""The bodies of answers: JSON, and the two renderings of an error (our envelope, RFC 9457 problem details)."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web
from pydantic import BaseModel

from shared.errors import ApiError

PROBLEM_JSON = "application/problem+json"


class Success(BaseModel):
    """The success envelope; endpoints add their own keys."""

    message: str
    status: str = "success"


def json_response(
    body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None, content_type: str = "application/json"
) -> web.Response:
    """`body` is a pydantic model (dumped by alias) or whatever orjson takes."""
    data = body.model_dump_json(by_alias=True).encode() if isinstance(body, BaseModel) else orjson.dumps(body)
    return web.Response(body=data, status=status, headers=headers, content_type=content_type)


def error_body(error: ApiError, request_id: str) -> dict[str, Any]:
    """The error envelope of the public API."""
    body: dict[str, Any] = {
        "status": "error",
        "code": error.code,
        "message": error.message,
        "request_id": request_id,
        **error.fields,
    }
    if error.errors:
        body["errors"] = [asdict(item) for item in error.errors]
    return body


def problem_body(error: ApiError, request_id: str) -> dict[str, Any]:
    """The same error as RFC 9457 problem details, its `type` a stable URN."""
    body = error_body(error, request_id)
    del body["message"]
    return {
        **body,
        "type": f"urn:talkstack:error:{error.code}",
        "title": type(error).default_message(),
        "status": error.status,
        "detail": error.message,
    }


def error_response(error: ApiError, request_id: str, accept: str = "") -> web.Response:
    """Render an error as the client prefers it."""
    if PROBLEM_JSON in accept:
        return json_response(
            problem_body(error, request_id), status=error.status, headers=error.headers, content_type=PROBLEM_JSON
        )
    return json_response(error_body(error, request_id), status=error.status, headers=error.headers)
