"""Bodies and queries about events."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from call_service.events.repository import Selection
from shared.clock import rfc3339
from shared.events import Event
from shared.pagination import PageQuery

_EXAMPLE: dict[str, Any] = {
    "id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e80",
    "type": "call.ended",
    "time": "2026-11-25T09:00:31.480Z",
    "source": "call_service",
    "subject": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f",
    "tenant": "0192f0c1-3333-7c44-9f3e-1b2a4c5d6e7f",
    "project_id": "0192f0c1-1111-7c44-9f3e-1b2a4c5d6e7f",
    "sequence": 5,
    "data": {"call_id": "0192f0c1-7d3a-7c44-9f3e-1b2a4c5d6e7f", "status": "completed"},
}


def _split(value: Any) -> Any:
    return [name for part in value for name in str(part).split(",")] if isinstance(value, list) else value


# Not empty: a token for "no call" would be one for all of them.
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Type = Annotated[str, StringConstraints(pattern=r"^[a-z_]+(\.[a-z_]+)+$", max_length=100)]


class EventsQuery(PageQuery):
    """Which events. `types` may repeat, or hold several names with commas between them."""

    types: Annotated[list[Type], BeforeValidator(_split)] = Field(default_factory=list, max_length=50)
    project_id: Id | None = None
    call_id: Id | None = None

    def selection(self, tenant: str) -> Selection:
        return Selection(tenant, frozenset(self.types), self.project_id, self.call_id)


class EventObject(BaseModel):
    """An event; `sequence` counts those of one `subject` from 1 without gaps."""

    id: str
    type: str
    time: str
    source: str
    subject: str
    tenant: str
    project_id: str | None
    sequence: int
    data: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> "EventObject":
        return cls.model_construct(**{**event.__dict__, "time": rfc3339(event.time)})


class EventList(BaseModel):
    """Events, oldest first. `next_cursor` is always there: asked again with it, the list goes on."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"data": [_EXAMPLE], "next_cursor": "mJ0Vd3cVYQZ0a2l6bWV0aFsiMTIiLCIxNyJd"}}
    )

    data: list[EventObject]
    next_cursor: str


class CallEventsQuery(BaseModel):
    """Where the stream of one call goes on: behind this `sequence`, as `Last-Event-ID`, which wins."""

    model_config = ConfigDict(extra="forbid")

    cursor: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}$")] = "0"


class StreamTokenRequest(BaseModel):
    """What the token is for: all events of the account, of one project, or of one call."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"example": {"callId": _EXAMPLE["subject"]}})

    project_id: Id | None = Field(None, alias="projectId")
    call_id: Id | None = Field(None, alias="callId")


class StreamToken(BaseModel):
    """The token, shown this once; it opens one stream within `expiresIn` seconds."""

    model_config = ConfigDict(
        json_schema_extra={"example": {"token": "W6ph5Mm5Pz8GgiULbPgzG37mj9gxnZ1zTqQyS0hX2vk", "expiresIn": 60}}
    )

    token: str
    expires_in: int = Field(serialization_alias="expiresIn")


class StreamTokenUse(BaseModel):
    """A token and the path and query that it came for, without the token."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"token": "W6ph5Mm5Pz8GgiULbPgzG37mj9gxnZ1zTqQyS0hX2vk", "target": "/events?types=call.ended"}
        }
    )

    token: str = Field(max_length=100)
    target: str = Field(max_length=8192)


class StreamTokenOwner(BaseModel):
    """For whom the token speaks, and the session or API key that it was made with and ends with."""

    model_config = ConfigDict(
        from_attributes=True,
        json_schema_extra={
            "example": {
                "user_id": _EXAMPLE["tenant"],
                "credential": "token",
                "session_id": _EXAMPLE["subject"],
                "key_sha256": None,
            }
        },
    )

    user_id: str
    credential: str
    session_id: str | None
    key_sha256: str | None
