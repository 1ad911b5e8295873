"""The audit log as its owner reads it."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from auth_service.fields import Moment

_ENTRY: JsonDict = {
    "id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
    "action": "session.started",
    "ip": "198.51.100.7",
    "user_agent": "curl/8.5",
    "detail": {"session_id": "0192f0c1-4444-7c44-9f3e-1b2a4c5d6e7f"},
    "created_at": "2026-11-25T09:00:00.000Z",
}


class AuditEntry(BaseModel):
    """What happened, and where the request came from."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"example": _ENTRY})

    id: str
    action: str
    ip: str
    user_agent: str
    detail: dict[str, Any]
    created_at: Moment


class AuditPage(BaseModel):
    """Latest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_ENTRY], "next_cursor": None}})

    data: list[AuditEntry]
    next_cursor: str | None
