"""Events for tests."""

from datetime import UTC, datetime
from typing import Any

from shared.events import Event
from shared.ids import new_id


def make_event(type: str = "call.ended", **changes: Any) -> Event:  # noqa: A002 - the envelope's own name
    """A valid event with a new id and subject, unless `changes` says otherwise."""
    fields = {
        "id": new_id(),
        "type": type,
        "time": datetime(2026, 11, 25, 9, 30, 0, 123_000, tzinfo=UTC),
        "source": "call_service",
        "subject": new_id(),
        "tenant": new_id(),
        "project_id": None,
        "sequence": 1,
        "data": {},
    }
    return Event.model_validate({**fields, **changes})
