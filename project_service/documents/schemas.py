"""Bodies of requests and answers about documents."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from project_service.fields import Moment
from shared.forms import Upload

CAMEL = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)
Kind = Literal["text", "markdown", "pdf"]
_EXAMPLE: dict[str, Any] = {
    "id": "0192f0c1-5555-7c44-9f3e-1b2a4c5d6e7f",
    "name": "price-list.pdf",
    "kind": "pdf",
    "bytes": 48213,
    "passages": 37,
    "createdAt": "2026-11-25T09:00:00.000Z",
}


class DocumentForm(BaseModel):
    """A file for an agent to look things up in."""

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        json_schema_extra={"example": {"file": "# Prices\n\nA filling is $120."}},
    )

    file: Upload = Field(description="`.txt` or `.md` in UTF-8, or `.pdf` with text in it; at most 10 MiB.")


class Document(BaseModel):
    """A document; it is looked up in `passages` parts."""

    model_config = CAMEL | ConfigDict(json_schema_extra={"example": _EXAMPLE})

    id: str
    name: str
    kind: Kind
    bytes: int
    passages: int
    created_at: Moment


class DocumentList(BaseModel):
    """The documents of an agent, oldest first."""

    model_config = ConfigDict(json_schema_extra={"example": {"data": [_EXAMPLE]}})

    data: list[Document]


class KnownRevision(BaseModel):
    """The revision that the worker has."""

    known: str | None = None


class PassageOf(BaseModel):
    """A part of a document."""

    document: str
    text: str


class Passages(BaseModel):
    """All parts of an agent's documents, in order; null when they are those of the known revision."""

    revision: str
    passages: list[PassageOf] | None
