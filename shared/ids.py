"""Identifiers: UUIDv7 (RFC 9562), sortable by time of creation."""

from uuid import UUID

import uuid_utils


def new_id() -> str:
    """A new UUIDv7 in its canonical text form."""
    return str(uuid_utils.uuid7())


def is_id(text: str) -> bool:
    """Does this text have the form of an id (any UUID, canonical with hyphens)?"""
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False
