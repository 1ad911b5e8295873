"""Field types that several modules share, and database rows as pydantic takes them."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import ConfigDict, PlainSerializer, StringConstraints

from shared.clock import rfc3339
from shared.db import Record

# In the examples of the OpenAPI document.
PROJECT_ID = "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f"
AGENT_ID = "0192f0c1-2222-7c44-9f3e-1b2a4c5d6e7f"

Id = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Moment = Annotated[datetime, PlainSerializer(rfc3339, return_type=str)]


def values(row: Record) -> dict[str, Any]:
    """A row with its ids as text."""
    return {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}


def success(message: str, **keys: Any) -> ConfigDict:
    """The configuration of a success answer: its example for the OpenAPI document."""
    return ConfigDict(json_schema_extra={"example": {"message": message, "status": "success", **keys}})
